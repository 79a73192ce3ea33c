package DynamicWeight::KubeControllers;

# The real controllers and scheduler of a cluster, and KWOK in the kubelets'
# stead. Another base of KubeCluster.
#
#   my $kube = $t->kube_cluster('A', etcd => '3.6');    # KWOK lags on 3.4
#   $kube->start_controllers;
#   $kube->nodes(map { { address => "127.0.0.$_", ready => 0 } } 11 .. 30);
#   $kube->deployment('prod', 'orders', 100);
#   $kube->freeze_kubelets;

use strict;
use warnings;

use File::Basename qw(dirname);

use DynamicWeight;

# A kubelet renews its node's lease each quarter of this.
use constant LEASE_SECONDS => 40;
# A node is lost when its lease is so old: less than the usual 50 s, more than
# the 10 s between two renewals.
use constant LOST_AFTER_SECONDS => 16;

# Nodes with this label have kubelets that can be stopped apart from the others'.
use constant APART => 'apart';

my @processes = qw(controllers scheduler kubelets kubelets_apart rollouts);

sub kubeconfig {
    my ($self) = @_;
    return $self->{kubeconfig} //= $self->write('kubeconfig', <<"EOF");
apiVersion: v1
kind: Config
clusters:
- name: it
  cluster:
    server: @{[$self->url]}
    certificate-authority: @{[$self->authority_file]}
users:
- name: admin
  user: { token: @{[$self->ADMIN_TOKEN]} }
contexts:
- name: it
  context: { cluster: it, user: admin }
current-context: it
EOF
}

# Options: `controllers`: further ones of kube-controller-manager; `flags` of it;
# `apart`: true where there are nodes with that label.
sub start_controllers {
    my ($self, %opt) = @_;
    my $kubeconfig = $self->kubeconfig;
    my $kubernetes = DynamicWeight::KubeCluster::program('kubernetes');
    my @common = ("--kubeconfig=$kubeconfig", '--leader-elect=false',
        '--secure-port=0');
    $self->{controllers} = $self->spawn('kube-controller-manager.log',
        $kubernetes, 'kube-controller-manager', @common,
        '--controllers=' . join(',', qw(deployment-controller
            replicaset-controller endpointslice-controller
            node-lifecycle-controller), @{$opt{controllers} // []}),
        '--node-monitor-grace-period=' . LOST_AFTER_SECONDS . 's',
        @{$opt{flags} // []});
    $self->{scheduler} = $self->spawn('kube-scheduler.log', $kubernetes,
        'kube-scheduler', @common);
    my $of = '--manage-nodes-with-label-selector=';
    $self->{kubelets} = $self->start_kubelets(0,
        $opt{apart} ? "$of!${\APART}" : '--manage-all-nodes');
    $self->{kubelets_apart} = $self->start_kubelets(1, $of . APART)
        if $opt{apart};
}

sub start_kubelets {
    my ($self, $number, @which) = @_;
    my $subnet = 128 + $number;
    return $self->spawn("kwok-$number.log",
        DynamicWeight::KubeCluster::program('kwok'),
        "--kubeconfig=@{[$self->kubeconfig]}", @which,
        "--config=$DynamicWeight::root/t/kube/kwok/stages.yaml",
        '--node-lease-duration-seconds=' . LEASE_SECONDS,
        "--cidr=10.$subnet.0.1/16");
}

sub stop_controllers {
    my ($self) = @_;
    $self->end($_, 'KILL') for @processes;
}

# All of them; or with 'kubelets_apart' those alone.
sub freeze_kubelets { kill 'STOP', $_[0]{$_[1] // 'kubelets'} }
sub thaw_kubelets   { kill 'CONT', $_[0]{$_[1] // 'kubelets'} }

# As `kubectl drain` does: no pod comes to the node any more, and those that are
# there are evicted. Returns when they are gone. uncordon() is its end.
sub drain_node {
    my ($self, $node) = @_;
    $self->patch(Node => undef, $node, { spec => { unschedulable => \1 } });
    my $on_it = '/api/v1/pods?fieldSelector=spec.nodeName%3D' . $node;
    for my $pod (@{$self->call(GET => $on_it)->{items}}) {
        my ($ns, $name) = @{$pod->{metadata}}{qw(namespace name)};
        $self->call(POST => "/api/v1/namespaces/$ns/pods/$name/eviction",
            { apiVersion => 'policy/v1', kind => 'Eviction',
                metadata => { namespace => $ns, name => $name } });
    }
    DynamicWeight::wait_for(sub { !@{$self->call(GET => $on_it)->{items}} },
        "$node to be drained", 120) or die "$node is not drained\n";
}
sub uncordon {
    my ($self, $node) = @_;
    $self->patch(Node => undef, $node, { spec => { unschedulable => undef } });
}

# The pods of an ingress controller, on the host network of a node each.
sub ingress_controller {
    my ($self, $ns, $name, $count) = @_;
    my %labels = (app => $name);
    $self->apply(Deployment => {
        metadata => { namespace => $ns, name => $name },
        spec => { replicas => $count + 0, selector => { matchLabels => \%labels },
            template => { metadata => { labels => \%labels },
                spec => { hostNetwork => \1, containers => [
                    { name => 'ingress', image => 'ingress:1', ports => [
                        { containerPort => 80, hostPort => 80 }] }] } } } });
}

# So many more of the ready pods are not ready any more, and KWOK leaves them
# so; or all of those are its own again.
sub lose_pods {
    my ($self, $ns, $count) = @_;
    $self->status_of_pod($ns, $_, { reason => 'Lost',
        conditions => [{ type => 'Ready', status => 'False' }] })
        for splice @{$self->{pods_of}{$ns} //= [map { $_->{metadata}{name} }
            $self->list(Pod => $ns)]}, 0, $count;
}
sub find_pods {
    my ($self, $ns) = @_;
    delete $self->{pods_of}{$ns};
    $self->status_of_pod($ns, $_->{metadata}{name}, { reason => undef })
        for $self->list(Pod => $ns);
}

sub status_of_pod {
    my ($self, $ns, $name, $status) = @_;
    $self->call(PATCH => "/api/v1/namespaces/$ns/pods/$name/status",
        { status => $status }, type => 'application/strategic-merge-patch+json');
}

# A Deployment and its Service. Option `port`: of the pods, and called http.
sub deployment {
    my ($self, $ns, $name, $replicas, %opt) = @_;
    my %labels = (app => $name);
    my $port = $opt{port} // 8080;
    $self->apply(Service => {
        metadata => { namespace => $ns, name => $name },
        spec => { selector => \%labels, ports => [
            { name => 'http', port => 8080, targetPort => $port + 0 }] } });
    $self->apply(Deployment => {
        metadata => { namespace => $ns, name => $name },
        spec => { replicas => $replicas + 0,
            selector => { matchLabels => \%labels },
            template => { metadata => { labels => \%labels },
                spec => { containers => [
                    { name => 'app', image => 'app' }] } } } });
}

sub scale {
    my ($self, $ns, $name, $replicas) = @_;
    $self->patch(Deployment => $ns, $name,
        { spec => { replicas => $replicas + 0 } });
}

# As a scheduled autoscaler does it, which knows the subresource only, whatever
# it scales.
sub scale_by_subresource {
    my ($self, $ns, $name, $replicas) = @_;
    $self->call(PUT => "/apis/apps/v1/namespaces/$ns/deployments/$name/scale", {
        apiVersion => 'autoscaling/v1', kind => 'Scale',
        metadata => { namespace => $ns, name => $name },
        spec => { replicas => $replicas + 0 } });
}

# A rolling release: the pods are to have this version.
sub release {
    my ($self, $ns, $name, $version) = @_;
    $self->patch(Deployment => $ns, $name, { spec => { template => {
        metadata => { annotations => { version => "$version" } } } } });
}

# The Deployment is as it was last told, and no pod is left that is to go. The
# namespace has no others.
sub settled {
    my ($self, $ns, $name) = @_;
    my ($deployment) = grep { $_->{metadata}{name} eq $name }
        $self->list(Deployment => $ns);
    my ($wanted, $status) = @{$deployment}{qw(spec status)};
    return if $status->{observedGeneration} < $deployment->{metadata}{generation};
    return if grep { ($status->{$_} // 0) != $wanted->{replicas} }
        qw(replicas updatedReplicas readyReplicas availableReplicas);
    my $pods = $self->call(GET => "/api/v1/namespaces/$ns/pods?limit=1");
    return $wanted->{replicas}
        == @{$pods->{items}} + ($pods->{metadata}{remainingItemCount} // 0);
}

# ---- Argo Rollouts.

# Its controller, and the kinds it wants to be served.
sub start_rollouts {
    my ($self) = @_;
    my $program = DynamicWeight::KubeCluster::program('rollouts');
    my @definitions = glob dirname($program) . '/crds/*-crd.yaml';
    for my $file (@definitions) {
        open my $f, '<', $file or die "$file: $!\n";
        my $yaml = do { local $/; <$f> };
        my ($name) = $yaml =~ /^  name: (\S+)$/m or die "$file: no name\n";
        $self->call(PATCH => '/apis/apiextensions.k8s.io/v1/'
            . "customresourcedefinitions/$name?fieldManager=test&force=true",
            \$yaml, type => 'application/apply-patch+yaml');
        DynamicWeight::wait_for(sub {
            my ($status) = $self->api(GET =>
                '/apis/argoproj.io/v1alpha1/' . ($name =~ s/\..*//r));
            $status == 200 }, "$name to be served")
            or die "$name is not served\n";
    }
    $self->{definitions}{Rollout} = 1;
    $self->{rollouts} = $self->spawn('argo-rollouts.log', $program,
        '--kubeconfig', $self->kubeconfig, '--leader-elect=false',
        '--metricsport', DynamicWeight::free_port(),
        '--healthzPort', DynamicWeight::free_port());
}

# A Rollout and a Service of its name, and those that its strategy names.
sub rollout {
    my ($self, $ns, $name, $replicas, $strategy, %opt) = @_;
    my %labels = (app => $name);
    my ($how) = values %$strategy;
    for my $service ($name, map { $how->{$_} // () } qw(previewService
        canaryService stableService))
    {
        $self->apply(Service => {
            metadata => { namespace => $ns, name => $service },
            spec => { selector => \%labels, ports => [
                { name => 'http', port => 8080, targetPort => 8080 }] } });
    }
    $self->apply(Rollout => {
        metadata => { namespace => $ns, name => $name },
        spec => { replicas => $replicas + 0, strategy => $strategy,
            selector => { matchLabels => \%labels },
            template => { metadata => { labels => \%labels },
                spec => { containers => [
                    { name => 'app', image => 'app:1' }] } } } });
}

sub rollout_status {
    my ($self, $ns, $name) = @_;
    return $self->call(GET => "/apis/argoproj.io/v1alpha1/namespaces/$ns"
        . "/rollouts/$name")->{status} // {};
}

# The pods are to be of this version.
sub release_rollout {
    my ($self, $ns, $name, $version) = @_;
    $self->patch(Rollout => $ns, $name, { spec => { template => { spec => {
        containers => [{ name => 'app', image => "app:$version" }] } } } });
}

# On with the next step; back to what is stable.
sub promote {
    my ($self, $ns, $name) = @_;
    $self->patch(Rollout => $ns, $name, { status => { pauseConditions =>
        undef } }, 'status');
}
sub abort {
    my ($self, $ns, $name) = @_;
    $self->patch(Rollout => $ns, $name, { status => { abort => \1 } },
        'status');
}

1;
