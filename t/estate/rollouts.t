#!/usr/bin/perl

# Argo Rollouts: which pods a Service reaches at each step, and which field of the
# Rollout's status has the same number. What `rollout=` counts is readyReplicas:
#
#   canary, one Service         stable and canary pods, as the Service reaches
#   canary, stableService       stable and canary pods; its stableService reaches
#                               the stable ones alone
#   blueGreen                   those of the active Service alone

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate::Informer;
use Test::More;
use Time::HiRes qw(time);

use constant PODS => 10;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A', etcd => '3.6');
$kube->start_controllers;
$kube->start_rollouts;
$kube->nodes(map { { address => "127.0.1.$_", ready => 0 } } 1 .. 2);

my $steps = [{ setWeight => 20 }, { pause => {} }, { setWeight => 50 },
    { pause => {} }];
my %strategy = (
    canary => { canary => { maxUnavailable => 0, steps => $steps } },
    split => { canary => { maxUnavailable => 0, steps => $steps,
        stableService => 'split-stable', canaryService => 'split-canary' } },
    green => { blueGreen => { activeService => 'green',
        previewService => 'green-preview', autoPromotionEnabled => \0,
        scaleDownDelaySeconds => 5 } },
);
$kube->rollout('prod', $_, PODS, $strategy{$_}) for sort keys %strategy;

# Upstreams of these names, each of a source.
my %source = (
    canary         => 'service=prod/canary',
    canary_rollout => 'rollout=prod/canary',
    split          => 'service=prod/split-stable',
    split_rollout  => 'rollout=prod/split',
    green          => 'service=prod/green',
    green_rollout  => 'rollout=prod/green',
);
$t->conf(http => <<"EOF_CONF" . $t->edge_server('canary'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster a {
        api            %%A%%;
        token_file     %%A_TOKEN%%;
        ca_file        %%A_CA%%;
        ingress_nodes  nodes=role=ingress;
    }
@{[map "upstream $_ { dynamic_weight;
        ingress_nodes a $source{$_} port=%%BACKEND%%; }\n", sort keys %source]}
EOF_CONF
ok($t->start, 'nginx starts');

my $informer = DynamicWeight::Estate::Informer->new($kube, 'prod',
    qw(Rollout EndpointSlice));
push @{$t->{clusters}}, $informer;    # ends with them

# What is so now: of the Rollout, and how many pods a Service reaches.
sub look {
    $informer->tick;
    $informer->read($_) for $informer->select->can_read(0.05);
    return unless $informer->known;
    my $endpoints = $informer->endpoints;
    return ($informer->objects('Rollout'),
        { map { $_ => scalar @{$endpoints->{$_}} } keys %$endpoints });
}

my $began = time;
my %said;
note(sprintf '%6s  %-8s %-12s %8s %8s %6s %10s  %s', 'time', 'Rollout', 'phase',
    'replicas', 'updated', 'ready', 'available', 'its Services reach');

# Until a Rollout is in a phase with so many pods of all versions; each change
# on the way is told.
sub until_phase {
    my ($name, $phase, %want) = @_;
    my $status;
    ok(&wait_for(sub {
        my ($rollouts, $reached) = look() or return;
        $status = $rollouts->{$name}{status} // return;
        my $row = sprintf '%-8s %-12s %8d %8d %6d %10d  %s', $name,
            $status->{phase} // '-', map({ $status->{$_} // 0 } qw(replicas
            updatedReplicas readyReplicas availableReplicas)),
            join ', ', map { "$_ $reached->{$_}" }
                grep { /^$name/ } sort keys %$reached;
        note(sprintf '%5.2fs  %s', time - $began, $row)
            if ($said{$name} // '') ne $row;
        $said{$name} = $row;
        ($status->{phase} // '') eq $phase
            && ($status->{observedGeneration} // '')
                eq $rollouts->{$name}{metadata}{generation}
            && !grep { ($reached->{$_} // $status->{$_} // 0) != $want{$_} }
                keys %want
    }, "$name to be $phase", 120), "$name: $phase: "
        . join ', ', map { "$_ $want{$_}" } sort keys %want);
    return $status;
}

# The edge counts so many by Service and by Rollout.
sub counts {
    my ($name, $service, $rollout) = @_;
    my %want = ($name => $service, "${name}_rollout" => $rollout);
    ok(&wait_for(sub {
        my $upstreams = $t->status->{upstreams};
        !grep { ($upstreams->{$_}{clusters}[0]{pods} // -1) != $want{$_} }
            keys %want
    }, "the edge's counts of $name"),
        "$name: the edge counts $service by Service, $rollout by Rollout");
}

for my $name (sort keys %strategy) {
    my $service = $name eq 'split' ? 'split-stable' : $name;
    until_phase($name, 'Healthy', readyReplicas => PODS, $service => PODS);
    counts($name, PODS, PODS);
}

# ---- A canary: one Service reaches what readyReplicas counts.

$kube->release_rollout('prod', 'canary', 2);
until_phase('canary', 'Paused', updatedReplicas => 2, replicas => PODS,
    readyReplicas => PODS, canary => PODS);
counts('canary', PODS, PODS);
$kube->promote('prod', 'canary');
until_phase('canary', 'Paused', updatedReplicas => 5, replicas => PODS,
    readyReplicas => PODS, canary => PODS);
$kube->abort('prod', 'canary');
until_phase('canary', 'Degraded', updatedReplicas => 0, replicas => PODS,
    readyReplicas => PODS, canary => PODS);
counts('canary', PODS, PODS);

# ---- A canary with a Service of its own: the stable one reaches fewer.

$kube->release_rollout('prod', 'split', 2);
until_phase('split', 'Paused', updatedReplicas => 2, readyReplicas => PODS,
    'split-stable' => PODS - 2, 'split-canary' => 2);
counts('split', PODS - 2, PODS);
$kube->promote('prod', 'split');
until_phase('split', 'Paused', updatedReplicas => 5, readyReplicas => PODS,
    'split-stable' => 5, 'split-canary' => 5);
counts('split', 5, PODS);
$kube->promote('prod', 'split');
until_phase('split', 'Healthy', updatedReplicas => PODS, replicas => PODS,
    readyReplicas => PODS, 'split-stable' => PODS);
counts('split', PODS, PODS);

# ---- Blue-green: twice the pods, of which the active Service's are counted.

$kube->release_rollout('prod', 'green', 2);
until_phase('green', 'Paused', replicas => 2 * PODS, readyReplicas => PODS,
    green => PODS, 'green-preview' => PODS);
counts('green', PODS, PODS);
$kube->promote('prod', 'green');
until_phase('green', 'Healthy', replicas => PODS, readyReplicas => PODS,
    green => PODS);
counts('green', PODS, PODS);

$t->done;
