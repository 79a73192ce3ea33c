#!/usr/bin/perl

# Watches that begin again at a version which the API server has forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use DynamicWeight::Intermediary;
use Test::More;

# Without a cache there are no bookmarks, and etcd's history is all there is.
my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A', apiserver => ['--watch-cache=false']);
DynamicWeight::Intermediary->new($t, 'GATE', $kube, 'nginx', end => 2);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('watched', 'mode watch; api %%GATE%%;');
$f->start;

my $path = '/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices';
for my $turn (1, 2) {
    $f->begin("compaction $turn");
    my $before = $f->watch_status('watched');
    my $version = $before->{resource_versions}{
        "$path?kubernetes.io/service-name=orders"};
    wait_ok {
        $f->watch_status('watched')->{watches} >= $before->{watches} + 2
    } 'watches begin again';
    is($f->watch_status('watched')->{lists}, $before->{lists}, 'without a list');
    $kube->namespace("turn-$turn-$_") for 1 .. 5;
    $kube->compact;
    my ($status, $answer) = $kube->api(GET =>
        "$path?watch=1&timeoutSeconds=1&resourceVersion=$version");
    my $said = $answer->{object} // $answer;
    is($said->{code}, 410, 'the version is forgotten')
        or diag(explain($said->{metadata}));
    wait_ok {
        $f->watch_status('watched')->{relists} >= $before->{relists} + 2
    } 'a list of each collection follows';
    $f->recovers;
    unlike(substr($t->log, $f->{log_from}), qr/\[error\]/,
        'nothing for an operator to do');
}

$f->done;
