#!/usr/bin/perl

# A cluster that goes back in time: its etcd is restored from a copy, and gives
# the versions that the edge knows to other objects.

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
$kube->save_etcd('copy');
my $saved_at = time;
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->start;

# Its versions stay behind for long.

$f->begin('an older etcd');
$kube->namespace("later-$_") for 1 .. 100;
$f->has(21);
$f->allow(12);
# How old the copy is at least.
my $restore_at = $saved_at + ($ENV{TEST_ETCD_AGE_SECONDS} // 0);
wait_for { time >= $restore_at } 'the copy to be old', 900;
$kube->restore_etcd('copy');
$f->goes_to(12);
$f->recovers;

# They come past those that are known while a watch waits for just that, and is
# told then that all is well.

$f->begin('an etcd that overtakes');
$kube->save_etcd('copy');
my $failures = $f->watch_status('watched')->{failures};
$kube->namespace("later-again-$_") for 1 .. 100;
$f->has(24);
$f->allow(15);
$kube->restore_etcd('copy');
wait_ok {
    my $watch = $f->watch_status('watched');
    $watch->{failures} > $failures && !$watch->{failing_since}
} 'a watch is answered again', 60;
$kube->namespace("past-$_") for 1 .. 200;
$f->goes_to(15);
$f->recovers;

$f->done;
