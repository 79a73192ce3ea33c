#!/usr/bin/perl

# When most of an upstream's peers are out: health is ignored below the part of
# the weight that dynamic_weight_panic says, all are asked, and whoever answers is
# healthy again. One request at a time, as failures are found out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use List::Util qw(sum0);
use Test::More;

my $t = DynamicWeight->new(workers => 1);
my %peers = (
    panic  => [map "127.0.1.$_", 1 .. 10],
    calm   => [map "127.0.2.$_", 1 .. 10],    # without the directive
    backup => [map "127.0.3.$_", 1 .. 10],    # and a backup peer
    hash   => [map "127.0.4.$_", 1 .. 10],
);
my $spare = '127.0.9.1';
my $servers = $t->slow_servers(addresses => [$spare, map { @$_ } values %peers]);
my %more = (
    panic  => 'dynamic_weight_panic 50%;',
    backup => "dynamic_weight_panic 50%; server $spare:%%BACKEND%% backup;",
    hash   => 'dynamic_weight_panic 50%;',
);
my $upstreams = join "\n", map {
    my $name = $_;
    my $method = $name eq 'hash' ? 'hash $request_uri' : '';
    "upstream $name { dynamic_weight $method; " . ($more{$name} // '')
        . join('', map "server $_:%%BACKEND%% fail_timeout=1h;",
            @{$peers{$name}}) . ' }'
} sort keys %peers;
my $locations = join "\n", map { "location /$_ { proxy_pass http://$_; }" }
    sort keys %peers;
$t->conf(http => <<"EOF");
    dynamic_weight_zone main:1m;
    $upstreams
    server {
        listen 127.0.0.1:%%PORT%%;
        $locations
        location /dw/ { dynamic_weight_status; }
    }
EOF
ok($t->start, 'nginx starts');

# So many requests, one after the other, are answered well.
sub ask {
    my ($name, $requests, $what) = @_;
    my %status;
    $status{http_get($t->port, "/$name/$_")->{status}}++ for 1 .. $requests;
    is_deeply(\%status, { 200 => $requests }, "$name: $what");
}
sub upstream { $t->status->{upstreams}{$_[0]} }
sub fails { sum0 map { $_->{fails} } @{upstream($_[0])->{peers}} }
sub up { scalar grep { $_->{state} eq 'up' } @{upstream($_[0])->{peers}} }
sub refuse {
    my ($name, $refuse, @which) = @_;
    $servers->set([@{$peers{$name}}[@which]], refuse => $refuse);
}

for my $name (qw(panic calm backup hash)) {
    refuse($name, 1, 0 .. 4);
    ask($name, 100, 'half of the peers refuse');
    is_deeply([map { $_ ? 1 : 0 } @{upstream($name)}{qw(health_ignored problem)}],
        [0, 1], 'which is a problem, but their health counts');
    is(fails($name), 5, 'each was asked once');
    refuse($name, 1, 5);
    ask($name, 200, 'another one refuses');
}
for my $name (qw(panic hash)) {
    ok(upstream($name)->{health_ignored}, "$name: health is ignored");
    cmp_ok(fails($name), '>', 20, 'all are asked');
    my $metrics = http_get($t->port, '/dw/metrics')->{body};
    like($metrics, qr/^\w+_upstream_health_ignored\{upstream="$name"\} 1$/m,
        'the metrics tell');
}
like(http_get($t->port, '/dw/')->{body}, qr/upstreams with problems/,
    'and the page');
for my $name (qw(calm backup)) {
    ok(!upstream($name)->{health_ignored}, "$name: health counts");
    is(fails($name), 6, 'who is out is asked no more');
}

# Who answers is healthy again; enough of them, and the others are out again.

for my $name (qw(panic hash)) {
    refuse($name, 0, 0);
    ask($name, 200, 'one answers again');
    ok(!upstream($name)->{health_ignored}, 'health counts again');
    is(up($name), 5, 'for half of them are healthy');
    my $fails = fails($name);
    ask($name, 100, 'the other ones are out');
    is(fails($name), $fails, 'and not asked');
}

$t->done;
