#!/usr/bin/perl

# An API server that takes one request at a time, and is busy with another one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A', apiserver => [
    '--max-requests-inflight=1', '--enable-priority-and-fairness=false']);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->start;

$f->begin('busy');
$kube->occupy(2);
$f->failing(qr/HTTP 429/, 'polled');
# Watches are not counted, once they have begun.
$f->has(21, 'watched');
$kube->restart('KILL');
$f->failing(qr/HTTP 429/, 'watched');
$kube->leave;
$f->recovers;

$f->done;
