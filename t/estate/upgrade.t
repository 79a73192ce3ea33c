#!/usr/bin/perl

# The control plane is upgraded: two API servers behind HAProxy are ended and
# started one after the other, while applications scale.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;

my $estate = DynamicWeight::Estate->new(balanced => ['A']);
my $a = $estate->cluster('A');
$estate->make(A => 'orders', 12);
$estate->make(B => 'orders', 7);
# A watch that ends where it was, or a request to a server that goes.
$estate->expect(qr/cluster "A"/);
$estate->begin;
$estate->linger(2);

my $pods = 12;
sub scale {
    $pods = $pods == 12 ? 30 : 12;
    # Of a server that ends at that moment there is no answer.
    wait_for { $a->scale('prod', 'orders', $pods); 1 } 'to scale', 60;
    ok($estate->await(A => { orders => $pods }), "$pods pods count");
}

for my $server ($estate->api_servers('A')) {
    my $name = $server->name;
    $estate->mark("API server $name ends");
    $server->stop_apiserver('TERM');
    scale();
    $estate->mark("API server $name starts");
    $server->start;
    $estate->linger(1);
    scale();
}
$estate->linger(2);
$estate->finish;
