#!/usr/bin/perl

# A control plane that loses sight of its kubelets marks every endpoint
# NotReady, one after the other within a second, and all come back three
# seconds later: no weight changes at all. A pod that leaves alone counts. Nodes
# that are NotReady for good stay while they are more than half.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;
use Time::HiRes qw(sleep time);

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');

my %pods = (orders => 12, carts => 6, search => 2);
my @nodes = map "127.0.0.$_", 11 .. 13;

# The first `ready` of the pods and nodes are ready, in parts of 12.
sub ready {
    my ($part) = @_;
    for my $app (sort keys %pods) {
        my $ready = int($pods{$app} * $part / 12);
        $bj->app('prod', $app, $ready, not_ready => $pods{$app} - $ready);
    }
    my $live = int(@nodes * $part / 12);
    $bj->nodes(map { {
        name => "node-$_", address => $nodes[$_],
        ready => $_ < $live ? JSON::PP::true : JSON::PP::false,
    } } 0 .. $#nodes);
}

ready(12);
$t->start_backends;
$t->conf(http => <<"EOT" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
    }
@{[join '', map <<"EOU", sort keys %pods]}
    upstream $_ {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/$_ port=%%BACKEND%%;
    }
EOU
EOT
ok($t->start, 'nginx starts');

sub weights {
    my ($pods, @live) = @_;
    return { '127.0.0.1' => 10, map { ($_ => int($pods * 10 / @live)) } @live };
}
ok($t->wait_weights($_, weights($pods{$_}, @nodes)), "weights of $_")
    for sort keys %pods;
$t->start_load(1);

sub count {
    my ($pattern) = @_;
    return scalar(() = $t->log =~ /$pattern/g);
}
my $change = qr/upstream "\w+" cluster "bj": pods/;
my $held = qr/held back: a second list/;
my $passed = qr/the drop that was held back has passed/;

sub held_back { $t->status->{clusters}{bj}{watch}{held_back} }

# Steps all parts; how long that took.
sub steps {
    my $began = time;
    for my $part (@_) { ready($part); sleep 0.04 }
    return time - $began;
}

# A machine that is too busy to tell it all within a second tells another
# story: then once more.
my $told;
for my $round (1 .. 20) {
    my ($changes, $held_before) = (count($change), held_back());
    my $began = time;
    my $fall = steps(reverse 0 .. 11);
    wait_ok { held_back() >= $held_before + keys(%pods) }
        'the drops are held back';
    sleep 3;
    my $rise = steps(1 .. 12);
    my $all = time - $began;
    note(sprintf 'gone within %.2f s, back within %.2f s, %.2f s in all',
        $fall, $rise, $all);
    # Each that is told ends; of those that come again within a minute only a
    # confirmation is told.
    wait_ok { count($passed) + count(qr/confirmed by a/) >= count($held) }
        'and pass';
    if ($fall > 1.3 || $rise > 1.3 || $all > 4.8) {
        $t->wait_weights($_, weights($pods{$_}, @nodes)) for sort keys %pods;
        next;
    }
    $told = 1;
    for my $app (sort keys %pods) {
        is_deeply($t->weights($app), weights($pods{$app}, @nodes),
            "weights of $app hold");
    }
    is(count($change), $changes, 'not one weight was changed');
    last;
}
ok($told, 'it was told within a second');

# One pod, and one node: no drop. A list that was asked for before, where the
# attempt was too slow, comes within twice five seconds.
my ($requests, $since) = (-1, 0);
wait_ok {
    my $lists = $bj->requests->{lists};
    ($requests, $since) = ($lists, time) if $lists != $requests;
    time - $since > 11
} 'no list is asked for any more', 60;
$bj->app('prod', 'orders', 11, not_ready => 1);
ok($t->wait_weights('orders', weights(11, @nodes)), 'a single pod leaves');
$bj->nodes(map { { name => "node-$_", address => $nodes[$_] } } 0, 1);
ok($t->wait_weights('orders', weights(11, @nodes[0, 1])), 'a single node leaves');
is($bj->requests->{lists}, $requests, 'nothing was listed for that');

# Two of three nodes for longer than the guard waits, and then the last.
$bj->nodes(map { { name => "node-$_", address => $nodes[$_] } } 0 .. 2);
ok($t->wait_weights('orders', weights(11, @nodes)), 'the node is back');
for my $ready (1, 0) {
    $bj->nodes(map { {
        name => "node-$_", address => $nodes[$_],
        ready => $_ < $ready ? JSON::PP::true : JSON::PP::false,
    } } 0 .. $#nodes);
    $bj->app('prod', 'carts', 0, not_ready => 6) if $ready;
    wait_ok { grep { /are not ready; as they are more than half/ }
        @{$t->status->{clusters}{bj}{watch}{warnings}} } 'that is told';
}
wait_ok { $t->log =~ /carts: pods 6 -> 0 confirmed by a second list/ }
    'carts is gone after the time to confirm', 60;
ok($t->wait_weights('orders', weights(11, @nodes)), 'the nodes all stay');

my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));

$t->done;
