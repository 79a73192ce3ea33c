#!/usr/bin/perl

# API priority and fairness refuses what the edge's user asks, while others are
# served: its level has one seat, which is taken. (overload.t has a server that is
# busy with everybody.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->start;

$f->begin('no seat');
my $api = '/apis/flowcontrol.apiserver.k8s.io/v1';
$kube->call(POST => "$api/prioritylevelconfigurations", {
    metadata => { name => 'one-seat' }, spec => { type => 'Limited', limited => {
        nominalConcurrencyShares => 0, lendablePercent => 0,
        borrowingLimitPercent => 0, limitResponse => { type => 'Reject' } } } });
$kube->call(POST => "$api/flowschemas", {
    metadata => { name => 'the-reader' }, spec => {
        matchingPrecedence => 2, priorityLevelConfiguration => { name => 'one-seat' },
        rules => [{
            subjects => [{ kind => 'User', user => { name => 'reader' } }],
            resourceRules => [{ verbs => ['*'], apiGroups => ['*'],
                resources => ['*'], namespaces => ['*'], clusterScope => \1 }],
        }] } });
$kube->occupy(2);
$f->failing(qr/HTTP 429/, 'polled');
# A watch that has begun is not asked again; new workers begin one.
$f->has(21, 'watched');
ok($t->reload, 'nginx is reloaded');
$f->failing(qr/HTTP 429/, 'watched');
$kube->leave;
$kube->call(DELETE => "$api/flowschemas/the-reader");
$f->recovers;

$f->done;
