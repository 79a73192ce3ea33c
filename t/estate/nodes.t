#!/usr/bin/perl

# Ingress nodes come and go as nodes do. Three of A's twenty are lost: their
# machines hang, and when their kubelets have been silent for long enough the node
# lifecycle controller says so of them and of their pods. In B, where the pods of
# an ingress controller tell the ingress nodes, two nodes are drained for
# maintenance, one after the other.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;

use constant { NODES => 20, LOST => 3, PODS => 50 };

my $estate = DynamicWeight::Estate->new(nodes => NODES, apart => { A => LOST },
    ingress_pods => ['B'], flags => ['--node-monitor-grace-period=16s']);
for my $name ('A', 'B') {
    # So that pods come to all of them.
    $estate->awaits(sub {
        NODES == grep { DynamicWeight::Estate::Informer::is_ready($_)
                && !$_->{spec}{taints} } $estate->cluster($name)->list('Node')
    }, "$name has its nodes");
    $estate->make($name => 'orders', PODS);
}
# What was asked of a node that hangs is asked of another one.
my $lost = qr{upstream: "http://127\.0\.1\.(?:18|19|20):};
$estate->expect(qr/upstream timed out .* $lost/,
    qr/upstream server temporarily disabled .* $lost/,
    # The controller takes them away one after the other.
    qr/cluster "A": ingress nodes \d+ -> \d+ held back/,
    qr/cluster "A": service=prod\/orders: pods \d+ -> \d+ held back/);
$estate->begin;
$estate->linger(2);

sub line {
    my ($name) = @_;
    my ($line) = grep { $_->{cluster} eq $name }
        @{$estate->t->status->{upstreams}{orders}{clusters}};
    return $line;
}

sub nodes_are {
    my ($name, $count) = @_;
    $estate->awaits(sub { line($name)->{used_nodes} == $count },
        "$count nodes of $name serve", 120);
}

$estate->mark("${\LOST} of A's ${\NODES} nodes hang");
$estate->freeze_apart('A');
nodes_are(A => NODES - LOST);
$estate->mark('they are out');
$estate->awaits(sub { line('A')->{pods} < PODS }, 'and pods with them');
$estate->linger(3);
$estate->mark('they are back');
$estate->thaw_apart('A');
nodes_are(A => NODES);
ok($estate->await(A => { orders => PODS }), 'with all pods');
$estate->linger(1);

my $b = $estate->cluster('B');
for my $address (($estate->addresses('B'))[4, 5]) {
    my $node = DynamicWeight::KubeObjects::node_name($address);
    $estate->mark("B: $node is drained");
    $b->drain_node($node);
    nodes_are(B => NODES - 1);
    ok($estate->await(B => { orders => PODS }), 'its pods are elsewhere');
    $estate->mark("B: $node is uncordoned");
    $b->uncordon($node);
    nodes_are(B => NODES);
}
$estate->await_settled;
ok($estate->await(A => { orders => PODS }, B => { orders => PODS }),
    'all is as before');
$estate->linger(2);
$estate->finish;
