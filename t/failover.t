#!/usr/bin/perl

# Priorities: the second one takes over as the peers of the first fail, by Envoy's
# rule, for every method; it stands by for requests that find nobody; and gives
# back what it had.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use List::Util qw(sum0);
use Test::More;

my $t = DynamicWeight->new(workers => 1);

# Ten nodes of a cluster and four of the other one, for each upstream: on ports of
# their own they would be the same servers.
my %nodes = (BJ => [map "127.7.0.$_", 1 .. 10], SH => [map "127.8.0.$_", 1 .. 4]);
my $kvm = '127.9.0.1';
my $servers = $t->slow_servers(addresses => [$kvm, map { @$_ } values %nodes]);
for my $name (sort keys %nodes) {
    my $fake = $t->fake_cluster($name);
    $fake->app('prod', 'orders', 20);
    $fake->nodes(@{$nodes{$name}});
}

sub line {
    my ($cluster, $more) = @_;
    return "ingress_nodes $cluster service=prod/orders port=%%BACKEND%% "
        . "fail_timeout=1h $more;";
}
my %upstream = (
    round => 'dynamic_weight;' . line('bj', '') . line('sh', 'priority=1'),
    least => 'dynamic_weight least_conn;' . line('bj', 'priority=3')
        . line('sh', 'priority=7'),
    hash  => 'dynamic_weight hash $arg_k;' . line('bj', '')
        . line('sh', 'priority=1'),
    exact => 'dynamic_weight; dynamic_weight_failover 1;' . line('bj', '')
        . line('sh', 'priority=1'),
    fresh => 'dynamic_weight;' . line('bj', '') . line('sh', 'priority=1')
        . "server $kvm:%%BACKEND%% backup;",
    full  => "dynamic_weight; server $kvm:%%BACKEND%% max_conns=1;"
        . line('sh', 'priority=1'),
    quick => 'dynamic_weight;' . line('bj', '') =~ s/1h/1s/r
        . line('sh', 'priority=1'),
);

sub conf {
    my $clusters = join '', map { my $name = lc;
        "dynamic_weight_cluster $name { api %%$_%%; mode poll; interval 100ms; "
        . "guard off; ingress_nodes nodes=role=ingress; }\n" } sort keys %nodes;
    my $upstreams = join '', map {
        "upstream $_ { $upstream{$_} dynamic_weight_keepalive 0; }\n"
        } sort keys %upstream;
    $t->conf(http => <<"EOC");
    dynamic_weight_zone main:4m;
    $clusters $upstreams
    server {
        listen 127.0.0.1:%%PORT%%;
        add_header X-Tried \$upstream_addr always;
        location ^~ /dw/ { dynamic_weight_status; }
        location ~ ^/(\\w+) { proxy_pass http://\$1; }
    }
EOC
}

sub upstream { $t->status->{upstreams}{$_[0]} }
sub up {
    my ($name, $address) = @_;
    return grep { $_->{server} =~ /^\Q$address\E:/ && $_->{state} eq 'up' }
        @{upstream($name)->{peers}};
}
# Requests one at a time, all of them answered well: how many each cluster got.
sub share {
    my ($name, $requests, $what) = @_;
    $servers->requests;
    my ($seen) = in_flight({ port => $t->port, requests => $requests,
        in_flight => 1, uri => sub { "/$name?k=$_[0]" } });
    is_deeply($seen->{statuses}, { 200 => $requests }, "$name: $what");
    my $got = $servers->requests;
    return map { sum0 @$got{@{$nodes{$_}}} } qw(BJ SH);
}
sub loads {
    my ($name) = @_;
    return join ' ', map { 100 * $_->{share} }
        @{upstream($name)->{failover}{priorities}};
}

conf();
ok($t->start, 'nginx starts');
ok($t->wait_weights('round', { (map { $_ => 20 } @{$nodes{BJ}}),
    (map { $_ => 50 } @{$nodes{SH}}) }), 'weights');

# ---- As nodes of the first fail one after the other.

my %want = (round => {}, least => {}, hash => {}, exact => {});
my $out = 0;
for my $step ([0, 100, 0], [2, 100, 0], [3, 98, 2], [5, 70, 30], [8, 28, 72],
    [10, 0, 100])
{
    my ($fail, @percent) = @$step;
    $servers->set([@{$nodes{BJ}}[$out .. $fail - 1]], refuse => 1)
        if $fail > $out;
    $out = $fail;
    for my $name (qw(round least hash exact)) {
        # Until each that refuses was asked.
        wait_ok {
            share($name, 40, "$fail nodes refuse");
            (grep { up($name, $_) } @{$nodes{BJ}}) == 10 - $fail
        } "$name: they are out";
        my @want = $name eq 'exact' ? (100 - 10 * $fail, 10 * $fail) : @percent;
        is(loads($name), "@want", "$name: the status says what each is to have");
        my ($bj, $sh) = share($name, 500, "$fail nodes are out");
        my $slack = $name eq 'hash' ? 45 : 4;
        cmp_ok(abs($bj - 5 * $want[0]), '<=', $slack,
            "$name: $bj of 500, not far from $want[0] %");
        my $expected = upstream($name)->{clusters}[1]{target_share};
        cmp_ok(abs($expected - $want[1] / 100), '<', 0.001,
            '... which the target says, too');
    }
}
my $status = upstream('least');
is_deeply([map { $_->{priority} } @{$status->{clusters}}], [3, 7],
    'priorities as they are written');
is_deeply($status->{failover}, { overprovisioning => 1.4, priorities => [
    { priority => 3, weight => 200, healthy => 0, share => 0 },
    { priority => 7, weight => 200, healthy => 200, share => 1 }] },
    'and what becomes of them');
my $metrics = http_get($t->port, '/dw/metrics')->{body};
like($metrics, qr/^\w+_upstream_priority_share\{upstream="least",priority="7",rank="1"\} 1(?:\.0+)?$/m,
    'the metrics tell');
like($metrics, qr/^\w+_upstream_priority_healthy\{upstream="least",priority="3",rank="0"\} 0(?:\.0+)?$/m,
    '... of health');
like(http_get($t->port, '/dw/')->{body}, qr/priority 3, stands by/,
    'and the page says who stands by');

# ---- A request that finds nobody in the first goes on to the second, and then to
# backups; it is the first to find out.

my $answer = http_get($t->port, '/fresh');
is($answer->{status}, 200, 'all of the first refuse: the first request is answered');
my ($tried) = $answer->{headers} =~ /^X-Tried: ([^\r]*)/m;
my @tried = map { s/:\d+$//r } split /, /, $tried;
cmp_ok(scalar(grep { /^127\.7\./ } @tried), '>=', 3,
    '... after as many of the first as it takes');
like($tried[-1], qr/^127\.8\./, '... by one of the second');
$servers->set($nodes{SH}, refuse => 1);
$answer = http_get($t->port, '/fresh');
is($answer->{body}, "$kvm\n", 'all of the second as well: by the backup peer');
$servers->set($nodes{SH}, refuse => 0);

# ---- The first is full.

$servers->set($kvm, delay => 0.05);
my ($seen) = in_flight({ port => $t->port, requests => 100, in_flight => 10,
    uri => sub { '/full' } });
is_deeply($seen->{statuses}, { 200 => 100 }, 'full: all are answered');
my $by_kvm = $seen->{bodies}{$kvm};
cmp_ok($by_kvm, '>', 0, 'the first has what it may have');
cmp_ok($by_kvm, '<', 100, 'and the rest goes to who stands by');

# ---- It comes back, and stays.

share('quick', 40, 'it fails') for 1 .. 2;
is(loads('quick'), '0 100', 'the second has all');
$servers->set($nodes{BJ}, refuse => 0);
wait_ok { share('quick', 40, 'it is back'); loads('quick') eq '100 0' }
    'the first has all again';
my ($bj, $sh) = share('quick', 300, 'it is back');
is($sh, 0, 'and the second stands by');
is(loads('quick'), '100 0', 'still');

$t->done;
