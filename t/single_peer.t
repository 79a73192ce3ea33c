#!/usr/bin/perl

# Kept connections that the peer closes, and the last peer that is left: neither
# costs a request its answer while there is somebody who would give it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use List::Util qw(sum);
use Test::More;

my $t = DynamicWeight->new(workers => 2);

my @node = ('127.5.0.1', '127.5.0.2');
my @kvm  = map { "127.3.0.$_" } 1 .. 10;
my @more = map { "127.4.0.$_" } 1 .. 10;
my @left = ('127.6.0.1', '127.6.0.2');

my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes($node[0]);
my $sh = $t->fake_cluster('SH');
$sh->app('prod', 'orders', 6);
$sh->nodes(@left);

my $slow = $t->slow_servers(addresses => [@node, @kvm, @more, @left]);

# `server` lines; nobody listens on the addresses of 127.9.
sub servers {
    my ($more, @addresses) = @_;
    return join '', map { "server $_:%%BACKEND%% $more;\n" } @addresses;
}
my $long = 'fail_timeout=1h';

# Where one peer is left: how, and which.
my %single = (
    a_node   => ["ingress_nodes bj service=prod/orders port=%%BACKEND%% $long;",
        $node[0]],
    a_server => [servers($long, $kvm[0]), $kvm[0]],
    down     => [servers($long, $kvm[1]) . servers('down', @more[0, 1]),
        $kvm[1]],
    out      => [servers($long, $kvm[2], '127.9.0.1', '127.9.0.2'), $kvm[2]],
    drained  => ["ingress_nodes sh service=prod/orders port=%%BACKEND%% $long;",
        $left[1]],
    backup   => [servers($long, '127.9.0.1') . servers("backup $long", $kvm[3]),
        $kvm[3]],
);
my %upstream = (
    (map { $_ => ['', $single{$_}[0]] } keys %single),
    two_rr     => ['', servers($long, @kvm[4, 5])],
    two_least  => ['least_conn', servers($long, @kvm[4, 5])],
    two_hash   => ['hash $arg_k', servers($long, @kvm[4, 5])],
    with_backup => ['', servers($long, $kvm[4]) . servers('backup', $kvm[5])],
    many       => ['', servers($long, @more)],
    both       => ['', servers($long, @kvm[6, 7])],
    gone       => ['', servers($long, @kvm[8, 9])],
);
my %stock = (
    stock_one => servers('max_fails=0', $kvm[0]),
    stock_two => servers('max_fails=0', @kvm[4, 5]),
);
my %port = map { $_ => free_port() } keys %upstream, keys %stock;
my $http = join '', map { <<"EOC" } sort keys %port;
    upstream $_ {
        @{[$stock{$_} ? "$stock{$_} keepalive 8;"
            : "dynamic_weight $upstream{$_}[0]; $upstream{$_}[1]"]}
    }
    server {
        listen 127.0.0.1:$port{$_};
        add_header X-Tried \$upstream_addr always;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://$_; }
        location /once {
            proxy_pass http://$_;
            proxy_next_upstream_tries 1;
        }
        location /again {
            proxy_pass http://$_;
            proxy_next_upstream error timeout non_idempotent;
        }
    }
EOC
$t->conf(http => <<"EOC" . $http . $t->edge_server('many'));
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
    }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
        guard          off;
    }
EOC
ok($t->start, 'nginx starts');
ok($t->wait_weights('a_node', { $node[0] => 60 }), 'a node');
ok($t->wait_weights('drained', { map { $_ => 30 } @left }), 'two nodes');
$sh->nodes($left[1]);
ok($t->wait_weights('drained', { $left[1] => 60 }), 'one is drained');

sub load {
    my ($name, $in_flight, $requests, %more) = @_;
    return in_flight({ port => $port{$name}, in_flight => $in_flight,
        requests => $requests, %more });
}
sub statuses { return join ' ', map { $_->{status} } @{$_[0]{answers}} }

# Whom a request was tried with, without the ports.
sub tried {
    my ($answer) = @_;
    my ($list) = $answer->{head} =~ /^X-Tried: ([^\r]*)/m;
    return join ' ', map { s/:\d+$//r } split /, /, $list // '';
}
sub peer {
    my ($name, $address) = @_;
    my ($peer) = grep { $_->{server} =~ /^\Q$address\E:/ }
        @{$t->status->{upstreams}{$name}{peers}};
    return $peer;
}

# ---- Whoever is left is asked again after a failure, as stock's single server.

for my $name (sort keys %single) {
    my $address = $single{$name}[1];
    load($name, 2, 20);     # others are found out
    for my $case (['closes without an answer', 'deaf'], ['refuses', 'refuse']) {
        my ($what, $mode) = @$case;
        $slow->set($address, $mode => 1);
        is(statuses(load($name, 1, 3)), '502 502 502', "$name: $what");
        $slow->set($address, $mode => 0);
        is(statuses(load($name, 1, 3)), '200 200 200',
            "$name: $what no longer, and is asked at once");
    }
    is(peer($name, $address)->{state}, 'up', "$name: it is up");
    is(peer($name, $address)->{unavail}, 0, "$name: and has been");
}

# Of two that fail one after the other the last stays.

load('both', 1, 4);
$slow->set([@kvm[6, 7]], deaf => 1);
is(statuses(load('both', 1, 2)), '502 502', 'both fail');
$slow->set([@kvm[6, 7]], deaf => 0);
is(statuses(load('both', 1, 4)), '200 200 200 200', 'one was never out');

# ---- A kept connection that the peer closes at the moment when it is used: the
# same peer on a new connection, and nothing is thought of the peer.

my %stays = (two_rr => 1, two_least => 1, two_hash => 1, with_backup => 1,
    many => 1, map { $_ => 1 } keys %single);
for my $name (sort keys %stays) {
    my $uri = sub { "/?k=$_[0]" };
    load($name, 4, 40, uri => $uri);    # several are kept of each
    my @all = map { $_->{server} =~ /(.*):/ ? $1 : () }
        grep { $_->{server} !~ /^127\.9\./ }
        @{$t->status->{upstreams}{$name}{peers}};
    for my $how ('fin', 'rst') {
        $slow->set(\@all, stale => $how);
        for my $location ('', 'once') {
            my $result = load($name, 1, 20, uri => sub { "/$location?k=$_[0]" });
            is_deeply($result->{statuses}, { 200 => 20 },
                "$name, $how, /$location: stale connections cost no answer");
            my @tried = map { tried($_) } @{$result->{answers}};
            is(scalar(grep { !/^(\S+)( \1)?$/ } @tried), 0,
                '... and are tried again with the same peer, once')
                or diag(join "\n", @tried);
            cmp_ok(scalar(grep { / / } @tried), '>=', 5, '... some were stale');
        }
        $slow->set(\@all, stale => '');
    }
    is(join(' ', map { peer($name, $_)->{unavail} } @all),
        join(' ', (0) x @all), "$name: nobody was taken out");
}

# ... which refuses it: then another one.

my $gone = load('gone', 1, 20, uri => sub {
    $slow->set($kvm[8], refuse => 'new', stale => 'fin') if $_[0] == 10;
    return '/';
});
is_deeply($gone->{statuses}, { 200 => 20 },
    'the peer of a stale connection is gone: another one');
is(scalar(grep { tried($_) eq "$kvm[8] $kvm[8] $kvm[9]" }
    @{$gone->{answers}}), 1, 'after it was asked anew, once')
    or diag(join "\n", map { tried($_) } @{$gone->{answers}});

# ---- A thousand restarts, of everybody at once, under load.

my @all = (@node, @kvm[0 .. 5], @more, @left);
my @under = ('a_node', 'drained', 'out', 'two_rr', 'two_least', 'many');
for my $mode ([stale => 'fin'], [stale => 'rst'], [restart => 1]) {
    $slow->set(\@all, @$mode);
    my @results = in_flight(map { { port => $port{$_}, in_flight => 3,
        requests => 400, uri => sub { "/?k=$_[0]" } } } @under);
    is_deeply($results[$_]{statuses}, { 200 => 400 },
        "$under[$_]: connections that end (@$mode) fail no request")
        for 0 .. $#under;
    $slow->set(\@all, $mode->[0] => 0);
}

# ---- A POST that was sent is not sent again, unless that is asked for; as with
# stock servers. The peer is not blamed.

$slow->set([@kvm[0, 4, 5]], stale => 'fin');
for my $case (['stock_one', '', 502], ['stock_two', '', 502],
    ['a_server', '', 502], ['two_rr', '', 502], ['stock_one', 'again', 200],
    ['a_server', 'again', 200], ['two_rr', 'again', 200]) {
    my ($name, $location, $status) = @$case;
    # The third finds a connection that one of the first two left.
    my $result = load($name, 1, 3, uri => sub { "/$location" },
        method => sub { $_[0] < 2 ? 'GET' : 'POST' });
    is($result->{answers}[2]{status}, $status,
        "$name: a POST on a stale connection, /$location")
        or diag(tried($result->{answers}[2]));
}
$slow->set([@kvm[0, 4, 5]], stale => '');
for my $name ('two_rr', 'a_server') {
    is(peer($name, $_)->{unavail}, 0, "$name: not blamed")
        for $name eq 'a_server' ? $kvm[0] : @kvm[4, 5];
}

$t->done;
