#!/usr/bin/perl

# A cluster vanishes: its ingress nodes and its API hang, then they are gone. The
# other one takes over with what it has. Then the first comes back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;

my $estate = DynamicWeight::Estate->new(apps => ['orders', 'payments']);
$estate->make(A => 'orders', 12);
$estate->make(B => 'orders', 7);
$estate->make(A => 'payments', 5);
$estate->make(B => 'payments', 5);
$estate->begin;
$estate->expect(
    qr/upstream timed out .* upstream: "http:\/\/127\.0\.1\./,
    qr/connect\(\) failed \(111: Connection refused\) .* upstream: "http:\/\/127\.0\.1\./,
    qr/(?:recv\(\) failed|upstream prematurely closed) .* upstream: "http:\/\/127\.0\.1\./,
    qr/upstream server temporarily disabled .* upstream: "http:\/\/127\.0\.1\./,
    qr/cluster "A"/);
my $kube = $estate->cluster('A');
my $nodes = $estate->ingress_nodes('A');
$estate->linger(3);

# Who of the last second's answers was in this cluster, in %.
sub share {
    my ($name) = @_;
    my $seconds = $estate->so_far->{seconds};
    my ($last) = sort { $b <=> $a } keys %$seconds;
    my $of = $seconds->{$last}{clusters};
    my $all = 0;
    $all += $_ for values %$of;
    return $all ? 100 * ($of->{$name} // 0) / $all : 0;
}

$estate->mark("A's nodes and API hang");
$_->freeze for $nodes, $kube;
$estate->awaits(sub { share('A') == 0 }, 'nobody is answered by A');
$estate->linger(8);

$estate->mark('they are gone');
$nodes->stop;
$kube->stop_apiserver('KILL');
$estate->awaits(sub {
    $estate->t->status->{clusters}{A}{watch}{failing_since}
}, "the status says that A's API is down");
$estate->linger(8);
ok($estate->await(A => { orders => 12, payments => 5 }), "A's weights hold");

$estate->mark('B scales up');
$estate->cluster('B')->scale('prod', 'orders', 19);
ok($estate->await(B => { orders => 19 }), 'B is followed');

$estate->mark('A comes back');
$kube->start;
$nodes->start;
$estate->await_settled('A');
$estate->awaits(sub { $estate->t->status->{clusters}{A}{up} },
    'A is followed again');
$kube->scale('prod', 'orders', 20);
ok($estate->await(A => { orders => 20 }), 'A is followed');
$estate->awaits(sub { share('A') > 40 }, 'A has its share again');
$estate->linger(3);
$estate->finish;
