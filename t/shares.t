#!/usr/bin/perl

# Where requests go in the states in which an edge spends its life: few in
# flight, most of the weight gone, a node that the API doesn't miss yet; and for
# how long a peer is out, whatever the date.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use List::Util qw(max min sum);
use Test::More;

my $t = DynamicWeight->new(workers => 2, connections => 4096);

my @nodes = ('127.5.0.1', '127.5.0.2');
my @kvms  = map { "127.3.0.$_" } 1 .. 10;
my @twenty = map { "127.4.0.$_" } 1 .. 20;
my @heavy  = ('127.6.0.1', '127.6.0.2');

my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 100);
$bj->nodes(@nodes);

my $slow = $t->slow_servers(delay => 0.005,
    addresses => [@nodes, @kvms, @twenty, @heavy]);

# `server` lines for addresses; nobody listens on those of 127.9.
sub servers {
    my ($more, @addresses) = @_;
    return join '', map { "server $_:%%BACKEND%% $more;\n" } @addresses;
}
my $long = 'fail_timeout=1h';
my $four = servers('', @kvms[0 .. 3]);
my $ten  = servers('', @kvms);
my $unequal = join '', map { servers("weight=$_", $kvms[$_ - 1]) } 1 .. 4;
my $two_gone = servers("weight=50 $long", map { "127.9.0.$_" } 1, 2);
my $many_gone = servers("weight=10 $long", map { "127.9.0.$_" } 1 .. 20);

my %method = (rr => '', least => 'least_conn', hash => 'hash $arg_k');
my %upstream = (
    (map { ("few_$_" => ['least_conn', servers('weight=20', @heavy) . $four]) }
        1, 4, 16, 64),
    keys => ['hash $arg_k', servers('', @twenty)],
    full => ['', servers('weight=50 max_conns=1', @heavy) . $four],
    again => ['', servers('weight=50 max_fails=0', @heavy) . $four],
    idle => ['', servers('fail_timeout=1s', $heavy[0]) . $four],
    probes => ['', join '', map { servers("weight=$_", $kvms[$_ - 1])
        . servers("weight=$_ fail_timeout=1s", "127.9.1.$_", "127.9.2.$_") }
        1 .. 5],
);
for my $name (sort keys %method) {
    my $method = $method{$name};
    $upstream{"dead_$name"}    = [$method, $two_gone . $four];
    $upstream{"many_$name"}    = [$method, $many_gone . $four];
    $upstream{"unequal_$name"} = [$method, $unequal . $two_gone];
    $upstream{"nodes_$name"}   = [$method, $ten
        . "ingress_nodes bj service=prod/orders port=%%BACKEND%% $long;\n"];
}
$upstream{back} = ['', $ten
    . "ingress_nodes bj service=prod/orders port=%%BACKEND%% fail_timeout=1s;\n"];

my %port = map { $_ => free_port() } keys %upstream;
my $http = join '', map { <<"EOC" } sort keys %upstream;
    upstream $_ {
        dynamic_weight $upstream{$_}[0];
        $upstream{$_}[1]
    }
    server {
        listen 127.0.0.1:$port{$_};
        location / {
            proxy_pass http://$_;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream error timeout http_500;
        }
    }
EOC
$t->conf(http => <<"EOC" . $http . $t->edge_server('keys'));
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
    }
EOC
ok($t->start, 'nginx starts');
for my $name ('back', map { "nodes_$_" } keys %method) {
    ok($t->wait_weights($name, { (map { $_ => 500 } @nodes),
        map { $_ => 10 } @kvms }), "$name: weights");
}

# A group of in_flight().
sub load {
    my ($name, $in_flight, $requests, %more) = @_;
    return { port => $port{$name}, in_flight => $in_flight,
        requests => $requests, uri => \&random_key, %more };
}
sub random_key { return '/?k=' . int rand 1e9 }

# All requests were answered, and each of some addresses had its part of them:
# all equal ones, or as `weights` say; at most `percent` of its part off.
sub shares_ok {
    my ($name, $result, $percent, $addresses, $weights) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $n = sum(values %{$result->{statuses}});
    is_deeply($result->{statuses}, { 200 => $n }, "$name: none fails");
    $weights //= [(1) x @$addresses];
    my $of = sum(map { $result->{bodies}{$_} // 0 } @$addresses);
    my @off = map {
        my $part = $of * $weights->[$_] / sum(@$weights);
        100 * abs(($result->{bodies}{$addresses->[$_]} // 0) / $part - 1)
    } 0 .. $#$addresses;
    return cmp_ok(max(@off), '<=', $percent,
        "$name: shares are within $percent % of the weights'")
        || diag(explain($result->{bodies}));
}

# ---- least_conn with few in flight: nobody is behind, so weights decide.

my @in_flight = (1, 4, 16, 64);
my @results = in_flight((map { load("few_$_", $_, 880) } @in_flight),
    load('probes', 1, 900));
shares_ok("least_conn, $in_flight[$_] in flight", $results[$_], 20,
    [@heavy, @kvms[0 .. 3]], [20, 20, 1, 1, 1, 1]) for 0 .. $#in_flight;

# ---- What a probe of a peer that is out finds does not disturb the others: ten
# are probed each second.

shares_ok('beside peers that are probed', $results[-1], 5, [@kvms[0 .. 4]],
    [1 .. 5]);

# ---- hash: a key has one peer, however many ask for it at once.

my $keys = 30;
my $home = in_flight(load('keys', 1, $keys, uri => sub { "/?k=$_[0]" }));
for my $at_once (2, 20) {
    my $stray = 0;
    for my $key (0 .. $keys - 1) {
        my $result = in_flight(load('keys', $at_once, $at_once,
            uri => sub { "/?k=$key" }));
        $stray++ if grep { $_->{body} ne $home->{answers}[$key]{body} }
            @{$result->{answers}};
    }
    is($stray, 0, "hash: $keys keys of $keys stay, $at_once requests at once");
}

# An empty key says nothing of where to go: round robin, as stock's.

my $empty = in_flight(load('keys', 4, 400, uri => sub { '/' }));
shares_ok('hash, no key', $empty, 5, \@twenty);

# ---- Most of the weight refuses connections: what is left is shared by weight,
# and nobody asks again before fail_timeout has passed.

sub asked_gone {
    my ($name) = @_;
    return join ' ', map { $_->{requests} }
        grep { $_->{server} =~ /^127\.9\./ }
        @{$t->status->{upstreams}{$name}{peers}};
}

# Percent: the keys of a hash fall by chance; 400 on four, 3.5 times that.
my %percent = (rr => 5, least => 20, hash => 35);
my @dead = map { my $m = $_; map { "${_}_$m" } qw(dead many unequal) }
    sort keys %method;
in_flight(map { load($_, 4, 100) } @dead);
my %before = map { $_ => asked_gone($_) } @dead;
my %dead;
@dead{@dead} = in_flight(map { load($_, 4, /unequal/ ? 1000 : 400) } @dead);
for my $name (@dead) {
    shares_ok("$name, most of the weight gone", $dead{$name},
        $percent{$name =~ s/.*_//r}, [@kvms[0 .. 3]],
        $name =~ /unequal/ ? [1 .. 4] : undef);
    is(asked_gone($name), $before{$name}, "$name: those that are out are let be");
}

# A key's peer is one of those that are left, also at once.

my $stray = 0;
for my $key (1 .. $keys) {
    my $result = in_flight(load('dead_hash', 4, 4, uri => sub { "/?k=$key" }));
    $stray++ if keys %{$result->{bodies}} > 1;
}
is($stray, 0, 'hash: keys stay where most of the weight is gone');

# Sixty at once: whoever is out has no connections, which is no merit.

$slow->set([@kvms[0 .. 3]], delay => 0.1);
for my $name (qw(dead_least many_least)) {
    shares_ok("$name, sixty at once", in_flight(load($name, 60, 60)), 20,
        [@kvms[0 .. 3]]);
}
$slow->set([@kvms[0 .. 3]], delay => undef);

# ---- The same for whatever else keeps requests from a peer: no connection
# left, or it has failed this very request.

$slow->set(\@heavy, delay => 600);
my @held = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port{full}) or die;
    print $s "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
    $s;
} 1 .. 6;
wait_ok {
    join(' ', map { $_->{active} } @{$t->status->{upstreams}{full}{peers}})
        eq '1 1 0 0 0 0'
} 'two are full';
shares_ok('the rest of two that are full', in_flight(load('full', 4, 400)), 10,
    [@kvms[0 .. 3]]);
$_->close for @held;
$slow->set(\@heavy, delay => undef, status => 500);
shares_ok('the rest of two that fail each request',
    in_flight(load('again', 4, 400)), 20, [@kvms[0 .. 3]]);
$slow->set(\@heavy, status => undef);

# ---- A node refuses, and the API hasn't said so: its pods stand behind its
# sibling, so one pod still gets what one KVM gets.

$slow->set($nodes[0], refuse => 1);
my %nodes;
in_flight(map { load($_, 1, 20) } 'back', map { "nodes_$_" } keys %method);
@nodes{sort keys %method} =
    in_flight(map { load("nodes_$_", 4, 1100) } sort keys %method);
my %off = (rr => 5, least => 20, hash => 35);
for my $name (sort keys %method) {
    my $n = sum(map { $nodes{$name}{bodies}{$_} // 0 } @kvms);
    cmp_ok(abs($n - 100), '<=', $off{$name},
        "$name: ten KVMs keep their 100 of 1,100 beside a node that is out")
        or diag(explain($nodes{$name}{bodies}));
    is($nodes{$name}{statuses}{200}, 1100, "$name: none fails");
}
$slow->set($nodes[0], refuse => 0);
wait_ok {
    in_flight(load('back', 1, 20))->{bodies}{$nodes[0]}
} 'the node is back';
shares_ok('the node has its part again', in_flight(load('back', 4, 1100)), 5,
    [@nodes, @kvms], [50, 50, (1) x 10]);

# Both: then what is left is shared.

$slow->set(\@nodes, refuse => 1);
in_flight(load("nodes_rr", 1, 20));
shares_ok('no node is left', in_flight(load('nodes_rr', 4, 400)), 10, \@kvms);
$slow->set(\@nodes, refuse => 0);

# ---- The status says what a request would find, without one.

sub peer { $t->status->{upstreams}{idle}{peers}[0] }
$slow->set($heavy[0], refuse => 1);
in_flight(load('idle', 1, 10));
$slow->set($heavy[0], refuse => 0);
is(peer()->{unavail}, 1, 'a peer was taken out');
wait_ok { peer()->{state} eq 'up' } 'up when fail_timeout has passed';
my $downtime = peer()->{downtime};
cmp_ok($downtime, '>', 0, 'it has been down');
my $now = $t->status->{time};
wait_for { $t->status->{time} > $now + 1000 } 'time to pass';
is(peer()->{downtime}, $downtime, 'which ended');
# The request that probes it comes on top of its share.
my $served = in_flight(load('idle', 1, 50))->{bodies}{$heavy[0]};
ok($served == 10 || $served == 11, 'it serves') or diag("$served of 50");

# ---- hash with a bound, which is asked for: a hot key spreads, but for a few
# requests it stays.

{
    my $bound = DynamicWeight->new(workers => 2);
    my $slow = $bound->slow_servers(delay => 0.005, addresses => \@twenty);
    my $servers = servers('', @twenty[0 .. 9]);
    $bound->conf(http => "dynamic_weight_zone main:1m;\n"
        . "upstream bound { dynamic_weight hash \$arg_k balance=125; $servers }\n"
        . $bound->edge_server('bound'));
    my ($status, $said) = $bound->test_conf;
    if (is($status, 0, 'hash key balance=125') || diag($said)) {
        ok($bound->start, 'nginx starts');
        my $ask = sub {
            my ($in_flight, $key) = @_;
            return in_flight({ port => $bound->port, in_flight => $in_flight,
                requests => $in_flight, uri => sub { "/?k=$key" } });
        };
        my $stray = grep { keys %{$ask->(2, $_)->{bodies}} > 1 } 1 .. $keys;
        is($stray, 0, 'two requests of a key at once stay');
        $slow->set(\@twenty, delay => 0.2);
        my $hot = $ask->(80, 'hot')->{bodies};
        cmp_ok(max(values %$hot), '<=', 11,
            'eighty at once: none has more than 5/4 of its part')
            or diag(explain($hot));
        cmp_ok(scalar keys %$hot, '>=', 8, 'they spread');
    }
    $bound->stop;
}

# ---- fail_timeout is measured by the monotonic clock: the date may be set.

for my $case (['back', -3600, '1s'], ['on', 7200, '1h']) {
    my ($which, $seconds, $fail_timeout) = @$case;
    my $set = DynamicWeight->new(workers => 1,
        preload => ["$DynamicWeight::root/build/libwall_clock.so"]);
    my $file = $set->write_file('wall_clock', pack 'q', 0);
    my $slow = $set->slow_servers(addresses => \@heavy);
    $set->conf(http => "dynamic_weight_zone main:1m;\n"
        . 'upstream two { dynamic_weight; '
        . servers("fail_timeout=$fail_timeout", @heavy) . "}\n"
        . $set->edge_server('two'));
    {
        local $ENV{WALL_CLOCK} = $file;
        ok($set->start, 'nginx with a date of its own');
    }
    my $asked = sub { in_flight({ port => $set->port, in_flight => 1,
        requests => 20 })->{bodies}{$heavy[0]} // 0 };
    $slow->set($heavy[0], refuse => 1);
    is($asked->(), 0, 'a peer is out');
    $slow->set($heavy[0], refuse => 0);
    my $before = $set->status->{time};
    open my $clock, '+<', $file or die "$file: $!\n";
    syswrite $clock, pack 'q', $seconds;
    wait_ok {
        abs($set->status->{time} - $before - 1000 * $seconds) < 600_000
    }
        "the date is set $which";
    if ($seconds < 0) {
        wait_ok { $asked->() } 'it is let in when fail_timeout has passed';
    } else {
        is($asked->(), 0, 'it stays out until fail_timeout has passed');
    }
    my $downtime = $set->status->{upstreams}{two}{peers}[0]{downtime};
    cmp_ok($downtime, '>=', 0, "set $which: downtime is no less than nothing");
    cmp_ok($downtime, '<', 600_000, "set $which: nor as long as the date has moved");
    $set->stop;
}

$t->done;
