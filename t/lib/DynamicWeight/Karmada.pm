package DynamicWeight::Karmada;

# A Karmada control plane (t/fake_cluster plays it) and what its controllers
# write: a Cluster object for each member, a ResourceBinding for each workload
# that a policy places, with what each member says of it. Objects are cut to what
# a reader may want of them.
#
#   my $karmada = DynamicWeight::Karmada->new($t, 'KARMADA');
#   $karmada->join($bj, 'bj');
#   $karmada->binding('orders', bj => [6, 8], sh => [4, 4]);

use strict;
use warnings;

use JSON::PP;

# The proxy gives a member up after so long; Karmada's does after 10 s.
use constant HANG_MS => 300;

sub new {
    my ($class, $t, $name) = @_;
    return bless { api => $t->fake_cluster($name, '--member-hang-ms', HANG_MS) },
        $class;
}

sub api { $_[0]{api} }

# The member's API is that of a fake cluster; Karmada hears it.
sub join {
    my ($self, $cluster, $name) = @_;
    $self->{api}->put("member $name", PUT => 'member',
        { name => $name, port => $cluster->port + 0 });
    $self->hears($name, 1);
}

sub hears {
    my ($self, $name, $ready) = @_;
    $self->{api}->put("cluster $name", POST => 'objects',
        cluster_object($name, $ready));
}

sub cluster_object {
    my ($name, $ready) = @_;
    return {
        kind => 'Cluster', apiVersion => 'cluster.karmada.io/v1alpha1',
        metadata => { name => $name },
        spec => { syncMode => 'Push', apiEndpoint => "https://$name:6443",
            $ready ? () : (taints => [{ effect => 'NoSchedule',
                key => 'cluster.karmada.io/not-ready' }]) },
        status => { kubernetesVersion => 'v1.36.3', conditions => [
            { type => 'CompleteAPIEnablements', status => 'True',
                reason => 'Complete' },
            $ready
            ? { type => 'Ready', status => 'True', reason => 'ClusterReady',
                message => 'cluster is healthy and ready to accept workloads' }
            : { type => 'Ready', status => 'False',
                reason  => 'ClusterNotReachable',
                message => 'cluster is not reachable' },
        ] },
    };
}

sub unjoin {
    my ($self, $name) = @_;
    delete $self->{api}{content}{"cluster $name"};
    $self->{api}->call(DELETE => 'objects', { kind => 'Cluster', name => $name });
}

# What each member has of a Deployment in prod: [ready, replicas]; readyReplicas
# is absent at 0. A number alone is only planned there: it has no status yet.
sub binding {
    my ($self, $name, %members) = @_;
    $self->{api}->put("binding $name", POST => 'objects',
        binding_object($name, %members));
}

sub binding_object {
    my ($name, %members) = @_;
    my @names = sort keys %members;
    return {
        kind => 'ResourceBinding', apiVersion => 'work.karmada.io/v1alpha2',
        metadata => { namespace => 'prod', name => "$name-deployment",
            annotations => { 'propagationpolicy.karmada.io/name' => $name,
                'propagationpolicy.karmada.io/namespace' => 'prod' } },
        spec => {
            clusters => [map { { name => $_, replicas =>
                (ref $members{$_} ? $members{$_}[1] : $members{$_}) + 0 } } @names],
            resource => { apiVersion => 'apps/v1', kind => 'Deployment',
                name => $name, namespace => 'prod' },
        },
        status => {
            schedulerObservedGeneration => 2,
            aggregatedStatus => [map { status_of($_, @{$members{$_}}) }
                grep { ref $members{$_} } @names],
            conditions => [{ type => 'FullyApplied', status => 'True',
                reason => 'FullyAppliedSuccess' }],
        },
    };
}

sub status_of {
    my ($member, $ready, $replicas) = @_;
    return {
        applied => JSON::PP::true, clusterName => $member,
        health => $ready == $replicas ? 'Healthy' : 'Unhealthy',
        status => {
            generation => 1, observedGeneration => 1,
            resourceTemplateGeneration => 2,
            $replicas ? (replicas => $replicas + 0,
                updatedReplicas => $replicas + 0) : (),
            $ready ? (readyReplicas => $ready + 0,
                availableReplicas => $ready + 0) : (),
            $replicas > $ready ? (unavailableReplicas => $replicas - $ready) : (),
        },
    };
}

# Paths of what is asked of the control plane itself.
use constant {
    BINDINGS => '/apis/work.karmada.io/v1alpha2',
    CLUSTERS => '/apis/cluster.karmada.io/v1alpha1/clusters',
};

# Lists and watches of the two collections, by path, and how many are open.
sub asked {
    my ($self) = @_;
    my $requests = $self->{api}->requests;
    my %asked = (open => $requests->{open_watches});
    for my $path (keys %{$requests->{paths}}) {
        next if $path =~ m{/proxy/};
        my $kind = (split m{/}, $path)[-1];
        $asked{$kind}{$_} += $requests->{paths}{$path}{$_} for qw(lists watches);
    }
    return \%asked;
}

1;
