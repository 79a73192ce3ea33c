package DynamicWeight::KubeObjects;

# What controllers, kubelets and administrators write to a real API server:
# objects of every kind the module reads, and the rights of its user. The base
# of KubeCluster, whose api() and call() it uses.

use strict;
use warnings;

use JSON::PP;

use DynamicWeight;
use DynamicWeight::Karmada;

my %plural = (
    Namespace => 'namespaces', Node => 'nodes', Service => 'services',
    ServiceAccount => 'serviceaccounts',
    Pod => 'pods', EndpointSlice => 'endpointslices',
    Deployment => 'deployments', StatefulSet => 'statefulsets',
    Rollout => 'rollouts', CloneSet => 'clonesets', Ingress => 'ingresses',
    Role => 'roles', RoleBinding => 'rolebindings',
    ClusterRole => 'clusterroles', ClusterRoleBinding => 'clusterrolebindings',
    CustomResourceDefinition => 'customresourcedefinitions',
    ResourceBinding => 'resourcebindings', Cluster => 'clusters',
);
my %version = (
    (map { $_ => 'v1' } qw(Namespace Node Service ServiceAccount Pod)),
    (map { $_ => 'apps/v1' } qw(Deployment StatefulSet)),
    (map { $_ => 'rbac.authorization.k8s.io/v1' }
        qw(Role RoleBinding ClusterRole ClusterRoleBinding)),
    EndpointSlice => 'discovery.k8s.io/v1',
    Ingress => 'networking.k8s.io/v1',
    Rollout => 'argoproj.io/v1alpha1',
    CloneSet => 'apps.kruise.io/v1alpha1',
    CustomResourceDefinition => 'apiextensions.k8s.io/v1',
    ResourceBinding => 'work.karmada.io/v1alpha2',
    Cluster => 'cluster.karmada.io/v1alpha1',
);

sub collection {
    my ($kind, $ns) = @_;
    my $version = $version{$kind} // die "unknown kind $kind\n";
    return ($version eq 'v1' ? '/api/' : '/apis/') . $version
        . (defined $ns ? "/namespaces/$ns" : '') . "/$plural{$kind}";
}

# Creates an object or makes it just this (server-side apply), its namespace
# and, if it has one, its status.
sub apply {
    my ($self, $kind, $object) = @_;
    my %object = (%$object, kind => $kind, apiVersion => $version{$kind});
    my $ns = $object{metadata}{namespace};
    $self->namespace($ns) if defined $ns;
    my $path = collection($kind, $ns) . "/$object{metadata}{name}";
    my $how = '?fieldManager=test&force=true';
    my @type = (type => 'application/apply-patch+yaml');
    my $status = delete $object{status};
    my $answer = $self->call(PATCH => $path . $how, \%object, @type);
    return $answer unless $status;
    return $self->call(PATCH => "$path/status$how", {
        kind => $kind, apiVersion => $object{apiVersion},
        metadata => $object{metadata}, status => $status }, @type);
}

# A merge patch of what is there; `subresource`: "status".
sub patch {
    my ($self, $kind, $ns, $name, $change, $subresource) = @_;
    return $self->call(PATCH => collection($kind, $ns) . "/$name"
        . ($subresource ? "/$subresource" : ''), $change,
        type => 'application/merge-patch+json');
}

sub delete {
    my ($self, $kind, $ns, $name) = @_;
    return $self->call(DELETE => collection($kind, $ns)
        . "/$name?gracePeriodSeconds=0");
}

# The items of a list. Options: selector, token.
sub list {
    my ($self, $kind, $ns, %opt) = @_;
    my $query = '';
    if (defined $opt{selector}) {
        $query = '?labelSelector='
            . ($opt{selector} =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger);
    }
    my $answer = $self->call(GET => collection($kind, $ns) . $query, undef,
        %opt);
    return @{$answer->{items}};
}

sub namespace {
    my ($self, $ns) = @_;
    return if $self->{namespaces}{$ns}++;
    my ($status) = $self->api(POST => '/api/v1/namespaces',
        { metadata => { name => $ns } });
    die "namespace $ns: $status\n" unless $status == 201 || $status == 409;
}

sub uid {
    my (@parts) = @_;
    my $hash = 0;
    $hash = ($hash * 31 + ord) % 2**48 for split //, join '/', @parts;
    return sprintf '00000000-0000-4000-8000-%012x', $hash;
}

# An application's EndpointSlices, 100 endpoints each: `pods` ready ones, and
# options not_ready, terminating, slices (how many of them), dual_stack,
# deployment, statefulset, rollout, cloneset, pod_objects.
sub app {
    my ($self, $ns, $name, $pods, %more) = @_;
    my @states = ((['true', 'true', 'false']) x $pods,
        (['false', 'false', 'false']) x ($more{not_ready} // 0),
        (['false', 'true', 'true']) x ($more{terminating} // 0));
    my $count = $more{slices} // (int((@states + 99) / 100) || 1);
    my %keep;
    for my $family ('IPv4', $more{dual_stack} ? 'IPv6' : ()) {
        for my $n (0 .. $count - 1) {
            my ($from, $to) = $more{slices}
                ? (int(@states * $n / $count), int(@states * ($n + 1) / $count))
                : ($n * 100, $n * 100 + 100);
            $to = @states if $to > @states;
            my $slice = $name . ($family eq 'IPv6' ? '-v6-' : '-') . $n;
            $keep{$slice} = 1;
            $self->apply(EndpointSlice => {
                metadata => { namespace => $ns, name => $slice,
                    labels => { 'kubernetes.io/service-name' => $name } },
                addressType => $family,
                ports => [{ name => 'http', port => 8080 }],
                endpoints => [map
                    { endpoint($ns, $name, $_, $family, $states[$_]) }
                    $from .. $to - 1],
            });
        }
    }
    for my $slice ($self->list(EndpointSlice => $ns,
            selector => "kubernetes.io/service-name=$name")) {
        my $previous = $slice->{metadata}{name};
        $self->delete(EndpointSlice => $ns, $previous) unless $keep{$previous};
    }
    $self->pods($ns, $name, $pods) if $more{pod_objects};
    $self->workload(Deployment => $ns, $name, $pods) if $more{deployment};
    $self->workload(StatefulSet => $ns, $name, $pods) if $more{statefulset};
    $self->workload(Rollout => $ns, $name, $pods) if $more{rollout};
    $self->workload(CloneSet => $ns, $name, $pods) if $more{cloneset};
}

# Never contacted. The API server refuses loopback addresses here.
sub pod_address {
    my ($i, $family) = @_;
    my $host = $i + 1;
    return sprintf 'fd00::%x', $host if ($family // '') eq 'IPv6';
    return join '.', 10, ($host >> 16) & 255, ($host >> 8) & 255, $host & 255;
}

sub endpoint {
    my ($ns, $name, $i, $family, $state) = @_;
    my ($ready, $serving, $terminating)
        = map { $_ eq 'true' ? JSON::PP::true : JSON::PP::false } @$state;
    return {
        addresses  => [pod_address($i, $family)],
        conditions => { ready => $ready, serving => $serving,
            terminating => $terminating },
        nodeName   => 'worker-' . $i % 10,
        targetRef  => { kind => 'Pod', namespace => $ns, name => "$name-$i",
            uid => uid($ns, $name, $i) },
    };
}

# Pod objects labelled app=NAME, all of them ready; `host_ip`: a code that
# gives the i-th one's status.hostIP.
sub pods {
    my ($self, $ns, $name, $count, %opt) = @_;
    for my $i (0 .. $count - 1) {
        my $ip = $opt{host_ip} ? $opt{host_ip}->($i)
            : '10.255.0.' . ($i % 10 + 1);
        $self->apply(Pod => {
            metadata => { namespace => $ns, name => "$name-$i",
                labels => { app => $name } },
            spec => { nodeName => 'worker-' . $i % 10,
                containers => [{ name => 'app', image => 'app' }] },
            status => { phase => 'Running', hostIP => $ip,
                hostIPs => [{ ip => $ip }],
                podIP => pod_address($i), podIPs => [{ ip => pod_address($i) }],
                conditions => [{ type => 'Ready', status => 'True' }] },
        });
    }
    for my $pod ($self->list(Pod => $ns, selector => "app=$name")) {
        my ($i) = $pod->{metadata}{name} =~ /-(\d+)\z/;
        $self->delete(Pod => $ns, $pod->{metadata}{name}) if $i >= $count;
    }
}

# An Ingress that sends everything to the Service of its name.
sub ingress {
    my ($self, $ns, $name) = @_;
    return $self->apply(Ingress => {
        metadata => { namespace => $ns, name => $name },
        spec => { defaultBackend => { service => { name => $name,
            port => { number => 80 } } } },
    });
}

# A Deployment, StatefulSet, Rollout or CloneSet with so many ready replicas.
sub workload {
    my ($self, $kind, $ns, $name, $ready) = @_;
    my %labels = (app => $name);
    $self->definition($kind) if $kind =~ /^(?:Rollout|CloneSet)$/;
    $self->apply($kind => {
        metadata => { namespace => $ns, name => $name, labels => \%labels },
        spec => { replicas => $ready + 0,
            selector => { matchLabels => \%labels },
            $kind eq 'StatefulSet' ? (serviceName => $name) : (),
            template => { metadata => { labels => \%labels },
                spec => { containers => [
                    { name => 'app', image => 'app' }] } } },
        status => { replicas => $ready + 0, readyReplicas => $ready + 0 },
    });
}

# What a Karmada control plane has of members that it hears: in prod, see
# DynamicWeight::Karmada.
sub karmada {
    my ($self, $name, %members) = @_;
    $self->definition($_) for qw(ResourceBinding Cluster);
    $self->apply(Cluster => DynamicWeight::Karmada::cluster_object($_, 1))
        for keys %members;
    $self->apply(ResourceBinding =>
        DynamicWeight::Karmada::binding_object($name, %members));
}

# Argo's, OpenKruise's or Karmada's CustomResourceDefinition, as far as a reader
# of status can tell.
sub definition {
    my ($self, $kind) = @_;
    return if $self->{definitions}{$kind}++;
    my ($group, $version) = split m{/}, $version{$kind};
    $self->apply(CustomResourceDefinition => {
        metadata => { name => "$plural{$kind}.$group" },
        spec => {
            group => $group,
            scope => $kind eq 'Cluster' ? 'Cluster' : 'Namespaced',
            names => { kind => $kind, plural => $plural{$kind},
                singular => lc $kind, listKind => "${kind}List" },
            versions => [{
                name => $version, served => JSON::PP::true,
                storage => JSON::PP::true, subresources => { status => {} },
                schema => { openAPIV3Schema => { type => 'object',
                    'x-kubernetes-preserve-unknown-fields'
                        => JSON::PP::true } },
            }],
        },
    });
    DynamicWeight::wait_for(sub {
        my ($status) = $self->api(GET => collection($kind));
        $status == 200 }, "$plural{$kind} to be served");
}

# Exactly these Node objects, labelled role=ingress: addresses, or what node()
# takes.
sub nodes {
    my ($self, @nodes) = @_;
    my %keep = map { $self->node(ref $_ ? %$_ : (address => $_)) => 1 } @nodes;
    for my $node ($self->list('Node')) {
        my $name = $node->{metadata}{name};
        $self->delete(Node => undef, $name) unless $keep{$name};
    }
}

# A Node object: address, and optionally name, ready, external_address, cordoned,
# taint, labels. Its name is returned.
sub node {
    my ($self, %node) = @_;
    $node{name} //= node_name($node{address});
    my @addresses = { type => 'InternalIP', address => $node{address} };
    push @addresses, { type => 'ExternalIP',
        address => $node{external_address} } if $node{external_address};
    $self->apply(Node => {
        metadata => { name => $node{name},
            # As kubelets have it: the scheduler spreads pods by it.
            labels => { role => 'ingress',
                'kubernetes.io/hostname' => $node{name},
                %{$node{labels} // {}} } },
        spec => {
            $node{cordoned} ? (unschedulable => JSON::PP::true) : (),
            $node{taint} ? (taints => [{ key => $node{taint},
                effect => 'NoSchedule' }]) : () },
        status => { addresses => \@addresses, conditions => [{
            type => 'Ready', reason => 'Test', message => 'set by a test',
            status => $node{ready} // 1 ? 'True' : 'False',
            lastHeartbeatTime => '2026-01-01T00:00:00Z',
            lastTransitionTime => '2026-01-01T00:00:00Z' }] },
    });
    return $node{name};
}

sub node_name { 'node-' . ($_[0] =~ s/[^0-9a-f]+/-/gr) }

# ---- What the reader may.

my @all_rules = (
    { apiGroups => ['discovery.k8s.io'], resources => ['endpointslices'] },
    { apiGroups => [''], resources => ['nodes', 'pods'] },
    { apiGroups => ['apps'], resources => ['deployments', 'statefulsets'] },
    { apiGroups => ['argoproj.io'], resources => ['rollouts'] },
    { apiGroups => ['networking.k8s.io'], resources => ['ingresses'] },
);

# In the whole cluster, exactly these rules; verbs are list and watch unless a
# rule has its own.
sub grant {
    my ($self, @rules) = @_;
    @rules = @all_rules unless @rules;
    $self->apply(ClusterRole => { metadata => { name => 'edge-reader' },
        rules => [map { { verbs => ['list', 'watch'], %$_ } } @rules] });
    $self->bind_reader('edge-reader', { kind => 'User', name => 'reader',
        apiGroup => 'rbac.authorization.k8s.io' });
    my ($group, $resource) = ($rules[0]{apiGroups}[0], $rules[0]{resources}[0]);
    $self->wait_access($group, $resource, 1);
}

# Gives the same rights to a subject.
sub bind_reader {
    my ($self, $name, $subject) = @_;
    $self->apply(ClusterRoleBinding => {
        metadata => { name => $name },
        roleRef  => { apiGroup => 'rbac.authorization.k8s.io',
            kind => 'ClusterRole', name => 'edge-reader' },
        subjects => [$subject] });
}

sub revoke {
    my ($self) = @_;
    $self->delete(ClusterRoleBinding => undef, 'edge-reader');
    $self->wait_access('discovery.k8s.io', 'endpointslices', 0);
}

# The authorizer works from a cache of its own, which follows a moment later.
sub wait_access {
    my ($self, $group, $resource, $wanted) = @_;
    DynamicWeight::wait_for(sub {
        my $review = $self->call(POST =>
            '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
                kind => 'SelfSubjectAccessReview',
                apiVersion => 'authorization.k8s.io/v1',
                spec => { resourceAttributes => { group => $group,
                    resource => $resource, verb => 'list' } },
            }, token => $self->{reader_token});
        return $wanted == ($review->{status}{allowed} ? 1 : 0);
    }, "the reader's rights");
}

1;
