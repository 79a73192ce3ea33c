#!/usr/bin/perl

# Releases: a rolling update of a Deployment of 100 pods; with Argo Rollouts'
# controller a canary of 10, 50 and 100 %, another one that is taken back, and
# blue-green. B stands beside with as many pods as ever.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;

use constant { PODS => 100, CANARY => 20, BLUE => 10 };

my $estate = DynamicWeight::Estate->new(
    apps => ['orders', 'canary', 'bluegreen'], rollouts => ['A']);
my $a = $estate->cluster('A');
$estate->make(A => 'orders', PODS);
$a->rollout('prod', 'canary', CANARY, { canary => {
    maxSurge => '25%', maxUnavailable => 0, steps => [
        { setWeight => 10 }, { pause => {} },
        { setWeight => 50 }, { pause => {} }] } });
$a->rollout('prod', 'bluegreen', BLUE, { blueGreen => {
    activeService => 'bluegreen', previewService => 'bluegreen-preview',
    autoPromotionEnabled => \0, scaleDownDelaySeconds => 3 } });
$a->ingress('prod', $_) for 'canary', 'bluegreen';
$estate->make(B => $_, 10) for 'orders', 'canary', 'bluegreen';
$estate->begin;
$estate->linger(2);

$estate->mark('a rolling update of 100 pods');
$a->release('prod', 'orders', 2);
$estate->await_settled('A');
ok($estate->await(A => { orders => PODS }), 'the rolling update is through');
$estate->linger(1);

# The Rollout is where it was to go, and the edge has its pods.
sub reaches {
    my ($name, $phase, $updated, $pods) = @_;
    $estate->awaits(sub {
        my $status = $a->rollout_status('prod', $name);
        ($status->{phase} // '') eq $phase
            && ($status->{updatedReplicas} // 0) == $updated
            && ($status->{readyReplicas} // 0) == $pods
    }, "$name: $phase, $updated pods are new", 120);
    ok($estate->await(A => { $name => $pods }), "$name: $pods pods count");
}

$estate->mark('a canary: 10 %');
$a->release_rollout('prod', 'canary', 2);
reaches('canary', 'Paused', 2, CANARY);
$estate->mark('50 %');
$a->promote('prod', 'canary');
reaches('canary', 'Paused', 10, CANARY);
$estate->mark('100 %');
$a->promote('prod', 'canary');
reaches('canary', 'Healthy', CANARY, CANARY);

$estate->mark('another one: 10 %');
$a->release_rollout('prod', 'canary', 3);
reaches('canary', 'Paused', 2, CANARY);
$estate->mark('50 %');
$a->promote('prod', 'canary');
reaches('canary', 'Paused', 10, CANARY);
$estate->mark('it is taken back');
$a->abort('prod', 'canary');
reaches('canary', 'Degraded', 0, CANARY);

$estate->mark('green beside blue');
$a->release_rollout('prod', 'bluegreen', 2);
reaches('bluegreen', 'Paused', BLUE, BLUE);
$estate->mark('green takes over');
$a->promote('prod', 'bluegreen');
reaches('bluegreen', 'Healthy', BLUE, BLUE);
$estate->linger(5);
$estate->finish;
