#!/usr/bin/perl

# Real controllers and a real scheduler, KWOK in the kubelets' stead, etcd 3.6:
# a Deployment that scales, is released and loses sight of its kubelets.
# bench/release measures the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Releases;
use Test::More;

my $r = DynamicWeight::Releases->new;

for my $phase ($r->scaling(100)) {
    ok($r->run($phase), "$phase->{name}: the edge has the last word");
    for my $source ($r->sources) {
        my @ages = $r->history->ages($source, @$phase{qw(from to)});
        cmp_ok(scalar @ages, '>', 0, "$phase->{name}: $source: was looked at");
        is(scalar(grep { !defined } @ages), 0,
            "$phase->{name}: $source: never what the API had not said");
    }
}

for my $phase ($r->silence) {
    ok($r->run($phase), "$phase->{name}: the edge has the last word");
    next unless $phase->{silent};
    is(join("\n", $r->hasty($phase)), '',
        "$phase->{name}: nothing falls before its time");
}

my $load = $r->finish;
cmp_ok($load->{requests}, '>', 0, "$load->{requests} requests");
is($load->{failed}, 0, 'no request failed') or diag(explain($load));
$r->{t}->done;
