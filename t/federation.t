#!/usr/bin/perl

# Whoever places the pods: what the controllers of Federation v1 and v2, Karmada
# and GitOps leave in a member cluster are a Deployment, its pods and the slices
# of their Service, which count there as any others. What is only about pods of
# other clusters does not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
$bj->nodes('127.0.0.11');
$t->start_backends;

# ---- What each leaves beside the workload itself.

my $preferences = encode_json({ rebalance => JSON::PP::true, clusters => {
    bj => { minReplicas => 2, maxReplicas => 50, weight => 2 },
    sh => { weight => 1 } } });
my %placed = (
    # Federation v1 copies the object with its annotations.
    v1 => { annotations => {
        'federation.kubernetes.io/deployment-preferences' => $preferences,
        'deployment.kubernetes.io/revision' => '3' } },
    # Federation v2 (KubeFed): of the FederatedDeployment's template; replicas by
    # an override, which ReplicaSchedulingPreference writes.
    v2 => { labels => { 'kubefed.io/managed' => 'true' } },
    karmada => {
        labels => { 'karmada.io/managed' => 'true',
            'propagationpolicy.karmada.io/permanent-id' => '3e0b3b0e-1',
            'resourcebinding.karmada.io/permanent-id' => '' },
        annotations => {
            'propagationpolicy.karmada.io/name' => 'karmada',
            'resourcebinding.karmada.io/name' => 'karmada-deployment',
            'resourcetemplate.karmada.io/generation' => '2',
            'work.karmada.io/conflict-resolution' => 'overwrite',
            'work.karmada.io/name' => 'karmada-5485bd76b6',
            'work.karmada.io/namespace' => 'karmada-es-bj' } },
    gitops => {
        labels => { 'app.kubernetes.io/instance' => 'gitops' },
        annotations => { 'argocd.argoproj.io/tracking-id' =>
            'gitops:apps/Deployment:prod/gitops' } },
);

sub put { my ($object) = @_; $bj->call(POST => 'objects', $object) }

sub workload {
    my ($name, $ready, $replicas) = @_;
    my $meta = $placed{$name};
    $replicas //= $ready;
    put({ kind => 'Deployment', apiVersion => 'apps/v1',
        metadata => { namespace => 'prod', name => $name,
            labels => { app => $name, %{$meta->{labels} // {}} },
            annotations => $meta->{annotations} // {} },
        spec => { replicas => $replicas + 0 },
        status => { replicas => $replicas + 0,
            $ready ? (readyReplicas => $ready + 0) : () } });
}

# Of the member's own Service, whichever controller brought that.
sub slice {
    my ($name, $suffix, $pods, $first, %meta) = @_;
    my %labels = ('kubernetes.io/service-name' => $name,
        'endpointslice.kubernetes.io/managed-by' =>
            'endpointslice-controller.k8s.io', %{$meta{labels} // {}});
    put({ kind => 'EndpointSlice', apiVersion => 'discovery.k8s.io/v1',
        metadata => { namespace => 'prod', name => "$name-$suffix",
            labels => \%labels, annotations => $meta{annotations} // {} },
        addressType => 'IPv4', ports => [{ port => 80, protocol => 'TCP' }],
        endpoints => [map { { addresses => ["10.1.$first.$_"],
            conditions => { ready => JSON::PP::true },
            targetRef => { kind => 'Pod', name => "$name-$first-$_",
                uid => "$name-$first-$_" } } } 1 .. $pods] });
}

my %pods = (gitops => 3, karmada => 4, v1 => 5, v2 => 6);
for my $name (keys %pods) {
    workload($name, $pods{$name}, $pods{$name} + 1);
    slice($name, 'a', $pods{$name}, 1);
}

$t->conf(http => join('', <<"EOF2", map { my $n = $_; map { <<"EOF3" }
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          confirm=1s;
    }
@{[$t->edge_server('v1-service')]}
EOF2
    upstream $n-$_ {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj $_=prod/$n port=%%BACKEND%%;
    }
EOF3
    'deployment', 'service' } sort keys %placed));
ok($t->start, 'nginx starts');

sub counts_are {
    my ($what) = @_;
    for my $name (sort keys %pods) {
        for my $source ('deployment', 'service') {
            ok($t->wait_weights("$name-$source", { '127.0.0.1' => 10,
                '127.0.0.11' => $pods{$name} * 10 }), "$name by $source=: $what");
        }
    }
}
counts_are('ready pods, not those that are wanted');

# ---- Its controller moves replicas here.

for my $name (sort keys %pods) {
    $pods{$name} += 5;
    workload($name, $pods{$name});
    slice($name, 'a', $pods{$name}, 1);
}
counts_are('more of them');

# And away: the number of all falls with that of the ready, so it was meant.
for my $name (sort keys %pods) {
    $pods{$name} = 1;
    workload($name, 1);
    $bj->call(DELETE => 'objects', { kind => 'EndpointSlice',
        namespace => 'prod', name => "$name-a" });
    slice($name, 'b', 1, 1);
}
counts_are('fewer');

# ---- Slices of other clusters' pods, beside its own.

my %foreign = (
    # Karmada, MultiClusterService.
    karmada => { labels => {
            'endpointslice.kubernetes.io/managed-by' =>
                'endpointslice-dispatch-controller.karmada.io',
            'karmada.io/managed' => 'true' },
        annotations => { 'endpointslice.karmada.io/provision-cluster' => 'sh',
            'work.karmada.io/name' => 'karmada-sh' } },
    # Multi-Cluster Services (KEP-1645), with whichever controller.
    v2 => { labels => { 'multicluster.kubernetes.io/source-cluster' => 'sh',
        'endpointslice.kubernetes.io/managed-by' => 'mcs.example.com' } },
);
slice($_, 'sh', 50, 2, %{$foreign{$_}}) for sort keys %foreign;
$pods{$_} = 2 for keys %pods;
workload($_, 2) for sort keys %pods;
slice($_, 'b', 2, 1) for sort keys %pods;
counts_are('beside slices of pods that run elsewhere');

$t->done;
