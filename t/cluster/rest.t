#!/usr/bin/perl

# At rest an API server hears nothing but watches and their renewals: its audit
# log tells.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use DynamicWeight::Intermediary;
use Test::More;

my $seconds = $ENV{TEST_REST_SECONDS} // 60;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
DynamicWeight::Intermediary->new($t, 'GATE', $kube, 'nginx', end => 10);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('direct', 'mode watch;');
# Beside the edge's own, watches that others end.
$f->follow('renewed', 'mode watch; api %%GATE%%;');
my $mark = $kube->audit_mark;
$f->start;
wait_ok { 4 == grep { $_->{verb} eq 'watch' } $kube->audit($mark) }
    'both watch both';

my %before = map { $_ => $f->watch_status($_) } 'direct', 'renewed';
$mark = $kube->audit_mark;
my $end = time + $seconds;
wait_ok { time >= $end } "$seconds s of rest", $seconds + 60;

my %verbs;
my @requests = $kube->audit($mark);
$verbs{$_->{verb}}++ for @requests;
diag(join ', ', "in $seconds s", map { "$_: $verbs{$_}" } sort keys %verbs);
is(join(' ', sort keys %verbs), 'watch', 'nothing but watches')
    or diag(join "\n", map { $_->{requestURI} } @requests);
is(scalar(grep { $_->{requestURI} =~ /timeoutSeconds=10\b/ } @requests),
    $verbs{watch} // 0, 'renewals of those that were ended')
    if $seconds < 150;
for my $name (sort keys %before) {
    my $after = $f->watch_status($name);
    is($after->{lists}, $before{$name}{lists}, "$name: the edge's own count");
    is($after->{failures}, 0, "$name: no failure");
}

$f->begin('after rest');
$f->recovers;
$f->done;
