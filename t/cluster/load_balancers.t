#!/usr/bin/perl

# Load balancers before a real API server: HAProxy as kubeadm's example has it,
# which cuts connections that are quiet for 20 s, an nginx that cuts after 35 s,
# and one that holds answers back. Changes come at random moments meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use DynamicWeight::Intermediary;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{TEST_REST_SECONDS} // 80;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
DynamicWeight::Intermediary->new($t, 'HAPROXY', $kube, 'haproxy', cut => 20);
DynamicWeight::Intermediary->new($t, 'NGINX', $kube, 'nginx', cut => 35);
DynamicWeight::Intermediary->new($t, 'BUFFERING', $kube, 'nginx', buffer => 1);
my @cut = ('haproxy', 'nginx');
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow($_, "mode watch; api %%\U$_\E%%; timeout 10s;") for @cut;
$f->follow('buffering',
    'mode watch; api %%BUFFERING%%; timeout 10s; interval 2s;');
$f->start;
$f->begin('load balancers');

# Not longer than what cuts: else a change would save the watch from it.
my $end = time + $seconds;
my $changes = 0;
while (time < $end) {
    my $next = time + 22 + rand 20;
    wait_ok { time >= $next } 'a while', 60;
    $f->has(12 + 3 * (++$changes % 5));
}
wait_ok { $f->watch_status($_)->{watches} >= 4 } "$_: watches were cut", 60
    for @cut;
like($f->watch_status('buffering')->{last_error}, qr/buffers answers/,
    'buffering: the status names the cause');
for my $name (@cut, 'buffering') {
    my $watch = $f->watch_status($name);
    is($watch->{failures}, 0, "$name: no failure");
    is($watch->{failing_since}, 0, "$name: not failing");
}
is($f->watch_status($_)->{lists}, 2, "$_: nothing was listed twice") for @cut;
unlike($t->log, qr/weights hold|works again/, 'the log knows of no failure');

$f->recovers;
$f->done;
