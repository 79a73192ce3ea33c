#!/usr/bin/perl

# A day in short: applications scale, are released and drained, ingress nodes come
# and go, API servers are killed and start again, workers are killed and nginx is
# reloaded, all at random. ESTATE_SECONDS says for how long (60; a whole drill has
# 600), ESTATE_SEED which day.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{ESTATE_SECONDS} // 60;
my $seed = $ENV{ESTATE_SEED} // int rand 1_000_000;
srand $seed;
note("ESTATE_SEED=$seed");

my @apps = ('orders', 'payments', 'search');
my $estate = DynamicWeight::Estate->new(apps => \@apps, allow_retries => 1);
my %pods;
for my $name ('A', 'B') {
    for my $app (@apps) {
        $pods{$name}{$app} = 4 + int rand 12;
        $estate->make($name => $app, $pods{$name}{$app});
    }
}
$estate->t->allow('worker process \d+ exited on signal 9');
$estate->expect(qr/cluster "[AB]"/, qr/worker process \d+ exited on signal 9/);
$estate->begin;
$estate->linger(2);

sub one_of { $_[rand @_] }

my ($version, %absent) = (1);
my %action = (
    scale => sub {
        my ($name, $app) = @_;
        $pods{$name}{$app} = 2 + int rand 18;
        $estate->cluster($name)->scale('prod', $app, $pods{$name}{$app});
        return "$app in $name has $pods{$name}{$app} pods";
    },
    release => sub {
        my ($name, $app) = @_;
        $estate->cluster($name)->release('prod', $app, ++$version);
        return "$app in $name is released";
    },
    node => sub {
        my ($name) = @_;
        if (my $address = delete $absent{$name}) {
            $estate->node_joins($name, $address);
            return "node $address is back";
        }
        $absent{$name} = one_of($estate->addresses($name));
        $estate->node_leaves($name, $absent{$name});
        return "node $absent{$name} leaves";
    },
    api => sub {
        my ($name) = @_;
        my $kube = $estate->cluster($name);
        # Told to end it waits for its watches to: not for longer than this.
        if (rand() < 0.5) {
            kill 'TERM', $kube->{pid};
            $estate->linger(2);
        }
        $kube->restart('KILL');
        return "the API of $name was started again";
    },
    worker => sub {
        my $pid = one_of($estate->t->workers);
        kill 'KILL', $pid;
        wait_for { my @workers = grep { $_ != $pid } $estate->t->workers;
            @workers >= 2 } 'a new worker';
        return 'a worker is killed';
    },
    reload => sub {
        $estate->t->reload;
        return 'nginx is reloaded';
    },
);
my @often = (('scale') x 6, ('release') x 3, ('node') x 3, 'api', 'worker',
    'reload');
# Each of them once, the rest at random.
my @first = sort { rand() <=> 0.5 } keys %action;

my $end = time + $seconds;
while (time < $end) {
    my $what = shift @first // one_of(@often);
    my $said = $action{$what}->(one_of('A', 'B'), one_of(@apps));
    $estate->mark($said);
    $estate->linger(0.5 + rand 2);
}
ok(!@first, 'everything has happened');
$estate->mark('evening');
$estate->node_joins($_, $absent{$_}) for keys %absent;
$estate->await_settled;
ok($estate->await(%pods), 'the edge has all pods');
$estate->linger(2);
note("ESTATE_SEED=$seed");
$estate->finish;
