#!/usr/bin/perl

# What an upstream is to do about failures, in the configuration: what is taken, and
# what each mistake is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;

my $bj = 'dynamic_weight_cluster bj { api http://127.0.0.1:1; '
    . 'ingress_nodes nodes=role=ingress; } ';

sub test {
    my ($directives, $method) = @_;
    my $lines = $directives =~ /\bbj\b/;
    $t->conf(http => 'dynamic_weight_zone main:1m'
        . ($lines ? " state=$t->{dir}/state/main; $bj" : ';') . 'upstream u { '
        . ($method // 'dynamic_weight;') . " server 127.0.0.1; $directives }");
    return $t->test_conf;
}

for my $right ('dynamic_weight_retries budget=0% min=0;',
    'dynamic_weight_retries min=1000000 budget=100%;',
    'dynamic_weight_retries budget=20%;',
    'dynamic_weight_panic 0%;', 'dynamic_weight_panic 100%;',
    'dynamic_weight_panic 50%; dynamic_weight_retries budget=20%;',
    'dynamic_weight_probe tcp;', 'dynamic_weight_outlier most=100%;',
    'dynamic_weight_outlier errors=1% requests=1 window=1s eject=24h most=100%;',
    'dynamic_weight_outlier most=50%; server 127.0.0.2;',
    'ingress_nodes bj service=prod/orders port=80 priority=1;',
    'ingress_nodes bj service=prod/orders port=80; '
    . 'instances bj service=prod/pay priority=127; dynamic_weight_failover 10;',
    'ingress_nodes bj service=prod/orders port=80 priority=1; '
    . 'dynamic_weight_failover 1;')
{
    my ($status, $told) = test($right);
    is($status, 0, "taken: $right") or diag($told);
    unlike($told, qr/\[warn\]/, 'without a warning');
}

my $parameter = qr/write "budget=20%", from 0% to 100% .* "min=3"/;
my %wrong = (
    (map { $_ => qr/invalid parameter "\Q$_\E": $parameter/ } qw(20% budget=20
        budget=% budget=101% budget=-1% budget=all most=3 min=-1 min= min=x
        min=1000001)),
    'min=3' => qr/without a budget: write "budget=20%" beside "min="/,
);
for my $what (sort keys %wrong) {
    my ($status, $told) = test("dynamic_weight_retries $what;");
    isnt($status, 0, "refused: dynamic_weight_retries $what");
    like($told, $wrong{$what}, '... and told');
    like($told, qr/nginx\.conf:\d+/, '... with its place');
}
for my $what (qw(50 % 101% -1% half%)) {
    my ($status, $told) = test("dynamic_weight_panic $what;");
    isnt($status, 0, "refused: dynamic_weight_panic $what");
    like($told, qr/invalid value "\Q$what\E": write "50%".*nginx\.conf:\d+/,
        '... and told');
}
for my $what ('errors=0%', 'errors=101%', 'errors=50', 'requests=0',
    'requests=1000001', 'window=999ms', 'window=2h', 'eject=0', 'eject=25h',
    'most=0%', 'most=101%', 'least=3', '50%')
{
    my ($status, $told) = test("dynamic_weight_outlier $what;");
    isnt($status, 0, "refused: dynamic_weight_outlier $what");
    like($told, qr/invalid parameter "\Q$what\E": write "errors=50%".*nginx\.conf:\d+/,
        '... and told');
}
for my $case (
    ['icmp', qr/write what is probed first: "http", "https", "tcp" or "tls"/],
    ['tcp uri=/', qr/it has no effect on a probe of type tcp/],
    ['http via=nodes', qr/write port=, uri=, host=/],
    ['https ca_file=nowhere.pem', qr/nowhere\.pem/],
    )
{
    my ($what, $why) = @$case;
    my ($status, $told) = test("dynamic_weight_probe $what;");
    isnt($status, 0, "refused: dynamic_weight_probe $what");
    like($told, qr/"dynamic_weight_probe": .*nginx\.conf:\d+/, '... in its name');
    like($told, $why, '... and told');
}
{
    my ($status, $told) = test('dynamic_weight_probe tcp; server unix:/tmp/s;');
    isnt($status, 0, 'refused: a probe of a socket of the file system');
    like($told, qr{can't ask "server unix:/tmp/s": write an address.*conf:\d+},
        '... and told');
    $t->conf(http => "dynamic_weight_zone main:1m; $bj upstream u { dynamic_weight;
        ingress_nodes bj service=prod/orders port=80; dynamic_weight_probe tcp; }");
    ($status, $told) = $t->test_conf;
    isnt($status, 0, 'refused: a probe of ingress nodes alone');
    like($told, qr/has nothing to probe but ingress nodes: write "via=ingress"/,
        '... and told');
    ($status, $told) = test('dynamic_weight_probe tcp via=ingress; server 127.0.0.2;
        instances bj service=prod/pay slots=8;');
    isnt($status, 0, 'refused: via=ingress without ingress nodes');
    like($told, qr/"via=ingress" .* has no effect, .*remove it.*conf:\d+/,
        '... and told');
    ($status, $told) = test('dynamic_weight_probe tcp mandatory; server 127.0.0.2;
        ingress_nodes bj service=prod/orders port=80 slots=4;');
    isnt($status, 0, 'refused: mandatory where only servers are asked');
    like($told, qr/"mandatory" .* has no effect, .*remove it.*conf:\d+/,
        '... and told');
    ($status, $told) = test('dynamic_weight_probe http via=ingress host=o.example;
        server 127.0.0.2; instances bj service=prod/pay slots=8;
        ingress_nodes bj service=prod/orders port=80 slots=4;');
    is($status, 0, 'taken: servers, instances, ingress nodes') or diag($told);
    like($told, qr{upstream "u": at most 10 probes a second, of 14 addresses and ports \(http /\) each 2000 ms},
        '... and told how many');
}
for my $what (qw(0.99 10.01 1.4x all -1 140%)) {
    my ($status, $told) = test("dynamic_weight_failover $what;");
    isnt($status, 0, "refused: dynamic_weight_failover $what");
    like($told, qr/invalid factor "\Q$what\E": write "1\.4", from 1 to 10.*conf:\d+/,
        '... and told');
}
for my $case (
    ['dynamic_weight_outlier;', qr/can eject nobody, as each server has more than 30% of the weight: write "most=100%" or more/],
    ['dynamic_weight_outlier most=33%; server 127.0.0.2; server 127.0.0.3;',
        qr/write "most=34%" or more/],
    ['dynamic_weight_failover 1.4;', qr/has no effect, as all of its peers have one priority: write "priority=1"/],
    ['dynamic_weight_failover 1.4; ingress_nodes bj service=prod/orders port=80;',
        qr/has no effect, as all of its peers have one priority/],
    ['ingress_nodes bj service=prod/orders port=80 priority=128;',
        qr/invalid parameter "priority=128": .*priority= 0 to 127/],
    ['ingress_nodes bj service=prod/orders port=80 priority=1 backup;',
        qr/both "backup" and "priority=1": .*remove one/],
    )
{
    my ($directives, $why) = @$case;
    my ($status, $told) = test($directives);
    isnt($status, 0, "refused: $directives");
    like($told, $why, '... and told');
    like($told, qr/nginx\.conf:\d+/, '... with its place');
}
for my $directive ('dynamic_weight_retries budget=1%;', 'dynamic_weight_panic 1%;',
    'dynamic_weight_outlier most=100%;', 'dynamic_weight_failover 1.4;',
    'dynamic_weight_probe tcp;')
{
    my ($status, $told) = test($directive x 2);
    isnt($status, 0, "refused: $directive twice");
    like($told, qr/is duplicate/, '... and told');
    ($status, $told) = test($directive, '');
    isnt($status, 0, "refused: $directive without the method");
    like($told, qr/without its method: write "dynamic_weight;" .*conf:\d+/,
        '... and told');
}

$t->cleanup;
done_testing();
