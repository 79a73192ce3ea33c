#!/usr/bin/perl

# Applications move from cluster A to B: Rollout, Service and Ingress are made in
# B, the weights follow, and in A first the Ingress, then the Service, then the
# Rollout is deleted, one each second. Core services go first, the others with
# half of their pods. So it goes as the runbook has it: drained by a rule before.
# Then all move back, without one: what reaches an ingress node in the moment
# before the edge knows of its Ingress may be answered 404.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use List::Util qw(max);
use Test::More;

my @apps = map { sprintf 'app-%02d', $_ } 1 .. $ENV{ESTATE_APPS} // 20;
my @core = @apps[0 .. @apps / 4 - 1];
my @others = @apps[@apps / 4 .. $#apps];
use constant PODS => 4;

# A 404 may come so long after the API had no Ingress any more.
use constant SEEN_AFTER => 0.1;

my $estate = DynamicWeight::Estate->new(apps => \@apps,
    kind => 'Rollout', rollouts => ['A', 'B']);
# What is deleted is missed, and the pods that go with a Service wait for the guard.
my $of_app = qr/cluster "[AB]": (?:service|ingress)=prod\/app-\d+:/;
$estate->expect(qr/$of_app no object app-\d+ in prod/,
    qr/$of_app pods: no EndpointSlice of a Service app-\d+ in prod/,
    qr/$of_app pods \d+ -> 0 held back: a second list must confirm it/);
$estate->make(A => $_, PODS) for @apps;
$estate->begin;
$estate->linger(2);

# One each second, of all of them.
sub delete_in {
    my ($name, @which) = @_;
    for my $kind (qw(Ingress Service Rollout)) {
        $estate->mark(sprintf '%s: the %s of %d', $name, $kind, scalar @which);
        $estate->cluster($name)->delete($kind, 'prod', $_) for @which;
        $estate->linger(1);
    }
    ok($estate->await($name => { map { $_ => 0 } @which }),
        "$name has them no longer");
}

sub move {
    my ($from, $to, $pods, $drain, @which) = @_;
    $estate->mark(sprintf '%d are made in %s with %d pods', scalar @which, $to,
        $pods);
    $estate->make($to => $_, $pods) for @which;
    ok($estate->await($to => { map { $_ => $pods } @which }),
        "$to has @{[scalar @which]} applications");
    if ($drain) {
        $estate->mark("$from is drained of them");
        ok($estate->drain($from => @which), 'they are drained');
    }
    delete_in($from, @which);
}

move(A => 'B', PODS, 1, @core);
move(A => 'B', PODS / 2, 1, @others);
$estate->mark('the rules are lifted');
$estate->lift;
my $drained = $estate->so_far->{failed};
is(scalar @$drained, 0, 'by the runbook no request has failed');

move(B => 'A', PODS, 0, @apps);

my (@late, %seen);
$estate->finish(failed => sub {
    my ($failed) = @_;
    my ($from, $until) = $estate->ingress_gone('B', $failed->{app});
    return if $failed->{status} ne '404' || $failed->{body} !~ /^B /
        || !defined $from || $failed->{asked} < $from - 1;
    my $after = $failed->{asked} - $until;
    push @late, $after;
    $seen{$failed->{app}}++;
    return $after <= SEEN_AFTER + $estate->late_at($until);
}, also => sub {
    note(sprintf 'without the rule %d requests of %d applications were answered'
        . ' 404; the last was sent %.0f ms after the API had said that the '
        . 'Ingress is gone', scalar @late, scalar keys %seen, 1000 * max(0, @late))
        if @late;
});
