#!/usr/bin/perl

# Outlier detection: a peer of twenty that answers 500, quicker than the others
# answer well, under the method that loves who is quick; a release that is bad
# everywhere; peers that refuse; and what outlives a reload and a worker's death.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use List::Util qw(sum0 max);
use Test::More;

use constant { PEERS => 20, MOST => 6, WINDOW => 2 };

my $t = DynamicWeight->new(workers => 2);
my %peers = (
    least => [map "127.0.1.$_", 1 .. PEERS],
    round => [map "127.0.2.$_", 1 .. PEERS],
    calm  => [map "127.0.3.$_", 1 .. PEERS],    # without the directive
    nodes => [map "127.0.4.$_", 1 .. 4],        # of a cluster
);
my $servers = $t->slow_servers(addresses => [map { @$_ } values %peers],
    delay => 0.01);
my $fake = $t->fake_cluster('BJ');
$fake->app('prod', 'orders', 12);
$fake->nodes(@{$peers{nodes}});

sub conf {
    my ($eject, $outlier) = @_;
    $outlier //= 'dynamic_weight_outlier errors=50% requests=20 window='
        . WINDOW . "s eject=$eject most=30%;";
    my %upstream = map { my $name = $_;
        $name => join '', map "server $_:%%BACKEND%% max_fails=0;", @{$peers{$name}}
    } grep { $_ ne 'nodes' } keys %peers;
    $upstream{nodes} =
        'ingress_nodes bj service=prod/orders port=%%BACKEND%% slow_start=1s;';
    $upstream{$_} .= $outlier for qw(least round nodes);
    my $upstreams = join "\n", map { "upstream $_ { dynamic_weight "
        . ($_ eq 'least' ? 'least_conn' : '') . "; $upstream{$_} }"
        } sort keys %upstream;
    my $locations = join "\n", map { "location /$_ { proxy_pass http://$_; }" }
        sort keys %upstream;
    $t->conf(http => <<"EOF");
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster bj {
        api %%BJ%%; mode poll; interval 100ms; guard off;
        ingress_nodes nodes=role=ingress;
    }
    $upstreams
    server {
        listen 127.0.0.1:%%PORT%%;
        $locations
        location /dw/ { dynamic_weight_status; }
    }
EOF
}

sub ask {
    my ($name, $requests, $at_once) = @_;
    my ($seen) = in_flight({ port => $t->port, requests => $requests,
        in_flight => $at_once // 16, uri => sub { "/$name" } });
    return $seen->{statuses};
}
sub upstream { $t->status->{upstreams}{$_[0]} }
sub in_state {
    my ($name, $state) = @_;
    return grep { $_->{state} eq $state } @{upstream($name)->{peers}};
}
sub ejected { in_state($_[0], 'ejected') }
# Asks on until it is so; the most that were ejected on the way.
sub ask_until {
    my ($name, $done, $what) = @_;
    my $most = 0;
    wait_ok {
        ask($name, 200);
        my $is_so = $done->();
        $most = max($most, scalar ejected($name));
        $is_so;
    } $what;
    return $most;
}
sub metric {
    my ($name) = @_;
    my ($value) =
        http_get($t->port, '/dw/metrics')->{body} =~ /^\w+_$name (\S+)$/m;
    return $value;
}

conf('1h');
ok($t->start, 'nginx starts');
ok($t->wait_weights('nodes', { map { $_ => 30 } @{$peers{nodes}} }), 'weights');

# ---- The quick one that is bad.

is_deeply(ask('least', 400), { 200 => 400 }, 'all is well');
is(scalar ejected('least'), 0, 'nobody is ejected');
my $black = $peers{least}[7];
$servers->set($black, status => 500, delay => 0);
is(ask_until('least', sub { ejected('least') }, 'one is ejected'), 1, 'one');
my ($out) = ejected('least');
like($out->{server}, qr/^\Q$black\E:/, 'the one that answers 500');
is($out->{reason}, 'it answered badly, for 3600 s', 'the status says why');
is($out->{until} - $out->{since}, 3_600_000, '... since when and until when');
cmp_ok(abs($out->{since} - $t->status->{time}), '<', 60_000, '... by the clock');
$servers->requests;
is_deeply(ask('least', 400), { 200 => 400 }, 'no client sees it any more');
is($servers->requests->{$black}, 0, 'nor does it see one');
is(upstream('least')->{ejections}, 1, 'counted');
is(metric('upstream_ejections_total\{upstream="least"\}'), 1, 'in the metrics');
is(metric('upstream_server_state\{upstream="least",cluster="-",server="'
    . quotemeta($black) . ':\d+",id="7"\}'), 8, '... with its state');
like(http_get($t->port, '/dw/')->{body}, qr/>ejected</, 'and on the page');
like($t->log, qr/upstream "least": server \Q$black\E:\d+ is ejected for 3600 s: of its last \d+ attempts \d+ failed or were answered 5xx/,
    'the log says so');

$servers->set($peers{calm}[7], status => 500, delay => 0);
ask('calm', 400);
is(scalar ejected('calm'), 0, 'without the directive nobody is');

# ---- Reload, and the death of the worker that decides.

ok($t->reload, 'reload');
my ($still) = ejected('least');
is($still->{server}, $out->{server}, 'it stays ejected');
cmp_ok(abs($still->{since} - $out->{since}), '<', 1000, '... since the same moment');
$t->allow(qr/exited on signal 9/);
my $worker0 = $t->worker0;
kill KILL => $worker0;
$t->next_worker0($worker0);
is_deeply([map { $_->{server} } ejected('least')], [$out->{server}],
    'it stays so without worker 0');
is_deeply(ask('least', 100), { 200 => 100 }, 'and gets nothing');

# ---- Bad everywhere.

$servers->set($peers{round}, status => 500, delay => 0);
my $most = ask_until('round', sub { ejected('round') == MOST }, 'many are');
is($most, MOST, 'as many as the weight allows');
$most = max(map { ask('round', 200); scalar ejected('round') } 1 .. 5);
is($most, MOST, 'and no more');
wait_ok { $t->log =~ /upstream "round": \d+ peers? answers? as badly and stay, as no more than 30 % of the weight may be ejected/ }
    'the log tells of the others';
ok(!upstream('round')->{health_ignored}, 'health counts');
$servers->set($peers{round}, status => 200, delay => 0.01);

# ---- Who is ejected comes back, and longer each time.

$servers->set($black, status => 200, delay => 0.01);
conf('1s', '');
ok($t->reload, 'reload without the directive');
is(scalar(map { ejected($_) } qw(least round)), 0, 'nobody is ejected any more');
conf('1s');
ok($t->reload, 'ejected for a second');
$servers->set($black, status => 500, delay => 0);
ask_until('least', sub { $t->log =~ /server \Q$black\E:\d+ is ejected for 1 s/ },
    'ejected again');
ask_until('least', sub { $t->log =~ /server \Q$black\E:\d+ serves again/ },
    'it serves again');
ask_until('least', sub { $t->log =~ /server \Q$black\E:\d+ is ejected for 2 s/ },
    'and is ejected for longer');
$servers->set($black, status => 200, delay => 0.01);
ask_until('least', sub { in_state('least', 'up') == PEERS }, 'all are back');
$servers->requests;
ask('least', 400);
cmp_ok($servers->requests->{$black}, '>', 0, 'and it gets requests');

# ---- A node that refuses: failed attempts count, and its line keeps its share.

my $node = $peers{nodes}[1];
conf('1h', 'dynamic_weight_outlier errors=50% requests=5 window=' . WINDOW
    . 's eject=1h most=30%;');
ok($t->reload, 'ejected for an hour');
$servers->set($node, status => 503);
ask_until('nodes', sub { ejected('nodes') }, 'a node is ejected');
like($t->log, qr/server \Q$node\E:\d+ \(cluster "bj"\) is ejected/,
    'the log names its cluster');
is(upstream('nodes')->{clusters}[0]{weight}, 30, 'the weight is what it was');
is_deeply(ask('nodes', 90, 1), { 200 => 90 }, 'the others serve');

$t->done;
