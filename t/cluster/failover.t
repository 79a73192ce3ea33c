#!/usr/bin/perl

# Several API servers of one cluster, of which some are dead.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
my $second = $t->kube_cluster('B', beside => $kube);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$t->{names}{DEAD} = 'https://127.0.0.1:' . free_port();

my %mode = (watched => 'mode watch;', polled => 'mode poll; interval 300ms;');
for my $name (sort keys %mode) {
    $f->follow($name, "$mode{$name} api %%A%%; api %%B%%;");
    $f->follow("${name}_first_dead", "$mode{$name} api %%DEAD%%; api %%A%%;"
        . ' api %%B%%;');
}
$f->start;
unlike($f->watch_status('watched_first_dead')->{api}, qr/$t->{names}{DEAD}/,
    'one that lives is in use');

$f->begin('the first dies');
$kube->stop_apiserver('KILL');
$f->has_at($second, 21);
is($f->watch_status($_)->{api}, $second->url, "$_: the second is in use")
    for @{$f->{followed}};
$kube->start;
$f->recovers;

$f->begin('the second dies');
$second->stop_apiserver('KILL');
$f->recovers;
$second->start;

$f->begin('both die');
$_->stop_apiserver('KILL') for $kube, $second;
$f->failing(qr/connect/i, @{$f->{followed}});
$_->start for $kube, $second;
$f->recovers;

# Only a request tells that one is frozen: the watch's is the last.

$f->begin('the one in use freezes');
$kube->stop_apiserver('KILL');
$f->has_at($second, $f->{pods} + 3);
$kube->start;
$second->freeze;
$f->has($f->{pods} + 3, 'polled', 'polled_first_dead');
$second->thaw;
$f->recovers;

$f->done;
