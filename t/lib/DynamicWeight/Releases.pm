package DynamicWeight::Releases;

# An edge under load that follows a Deployment of real controllers, by each of
# the sources, through what happens to it: scaling, releases, kubelets that fall
# silent.
#
#   my $r = DynamicWeight::Releases->new;
#   for my $phase ($r->scaling(100), $r->silence) {
#       $r->run($phase) or die;
#   }
#   $r->finish;
#
# A phase is over when the controllers are done and the edge has the last word
# of each source.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use DynamicWeight;
use DynamicWeight::PodHistory;

# What is followed: upstream => source.
my %source = (
    orders       => 'service=prod/orders',
    by_pods      => 'pods=prod/app=orders',
    by_replicas  => 'deployment=prod/orders',
);

use constant NODES => 20;

# Options: those of a KubeCluster.
sub new {
    my ($class, %opt) = @_;
    my $t = DynamicWeight->new;
    my $kube = $t->kube_cluster('A', etcd => '3.6', %opt);
    my $self = bless { t => $t, kube => $kube, phases => [], version => 0 },
        $class;
    $kube->start_controllers;
    $kube->nodes(map { { address => "127.0.1.$_", ready => 0 } } 1 .. NODES);
    $kube->deployment('prod', 'orders', 0);
    $t->start_backends;
    my $upstreams = join '', map { <<"EOF" } sort keys %source;
    upstream $_ {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  a $source{$_} port=%%BACKEND%% slots=${\NODES};
        keepalive      32;
    }
EOF
    $t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster a {
        api            %%A%%;
        token_file     %%A_TOKEN%%;
        ca_file        %%A_CA%%;
        ingress_nodes  nodes=role=ingress;
    }
    $upstreams
EOF
    $t->start or die "nginx does not start\n";
    $self->await(0) or die "the edge does not follow\n";
    $self->{history} = DynamicWeight::PodHistory->new($t, $kube, 'prod',
        'orders', map { $source{$_} =~ /^(\w+)/ => $_ } keys %source);
    $t->start_load(1, pause => 0.002);
    return $self;
}

sub sources { map { /^(\w+)/ } values %source }
sub history { $_[0]{history} }

# What an edge of so many pods has, on all nodes.
sub await {
    my ($self, $pods) = @_;
    my $weight = int($pods * 10 / NODES) || 1;
    return wait_for {
        my $status = $self->{t}->status or return;
        !grep {
            my $line = $status->{upstreams}{$_}{clusters}[0];
            ($line->{pods} // -1) != $pods || $line->{used_nodes} != NODES
                || $line->{weight} != $weight
        } keys %source
    } "the edge to have $pods pods on all nodes", 120;
}

# In turn, each { name, begin, pods at the end }.
sub scaling {
    my ($self, $pods) = @_;
    my $kube = $self->{kube};
    return (
        { name => "0 to $pods pods", pods => $pods,
            begin => sub { $kube->scale('prod', 'orders', $pods) } },
        { name => "rolling release of $pods pods", pods => $pods,
            begin => sub {
                $kube->release('prod', 'orders', ++$self->{version}) } },
        { name => "$pods to 0 pods", pods => 0,
            begin => sub { $kube->scale('prod', 'orders', 0) } },
    );
}

# What a node lifecycle controller once told of 30 pods on 20 nodes whose
# kubelets were all silent: seconds, and how many more pods were not ready.
my @once = ([0, 19], [1.1, 1], [4.8, 1], [5.9, 7], [10.7, 2]);

# All kubelets fall silent and, once the edge has no pod, come back: as it once
# was, and then as this cluster's controllers have it. At the end there is no
# pod.
sub silence {
    my ($self) = @_;
    my $kube = $self->{kube};
    my $pods = 30;
    return (
        { name => "0 to $pods pods", pods => $pods,
            begin => sub { $kube->scale('prod', 'orders', $pods) } },
        { name => 'kubelets silent, played', silent => 1,
            begin => sub { $self->play_silence } },
        { name => 'kubelets back, played', pods => $pods,
            begin => sub { $kube->find_pods('prod') } },
        { name => 'kubelets silent', silent => 1,
            begin => sub { $kube->freeze_kubelets } },
        { name => 'kubelets back', pods => $pods,
            begin => sub { $kube->thaw_kubelets } },
        { name => "$pods to 0 pods", pods => 0,
            begin => sub { $kube->scale('prod', 'orders', 0) } },
    );
}

sub play_silence {
    my ($self) = @_;
    my $began = time;
    for my $step (@once) {
        my ($at, $pods) = @$step;
        my $wait = $began + $at - time;
        sleep $wait if $wait > 0;
        $self->{kube}->lose_pods('prod', $pods);
    }
}

sub run {
    my ($self, $phase) = @_;
    $phase->{from} = time;
    $phase->{begin}->();
    my $ok = $phase->{silent} ? $self->await_silence : wait_for {
        $self->{kube}->settled('prod', 'orders')
    } "the controllers' end: $phase->{name}", 120;
    $ok &&= $self->await($phase->{pods}) if defined $phase->{pods};
    # The edge is looked at once more.
    my $end = time;
    $ok &&= wait_for {
        my ($look) = $self->{history}->read->looks('service', $end, 9**9**9);
        $phase->{to} = $look && $look->[0]
    } 'a look at the end';
    return $ok;
}

# Until the edge has that no pod is ready.
sub await_silence {
    my ($self) = @_;
    return wait_for {
        my $status = $self->{t}->status or return;
        !grep { $status->{upstreams}{$_}{clusters}[0]{pods} } keys %source
    } 'the edge to have no pod', 120;
}

# What of the falls in a phase came before its time: a number counts when it
# stood still for 1.5 s, and one that is less than half, or nothing, when it was
# confirmed after 5 s.
sub hasty {
    my ($self, $phase) = @_;
    my @hasty;
    for my $source ($self->sources) {
        for my $fall ($self->{history}->falls($source, @$phase{qw(from to)})) {
            my $least = $fall->{after} < $fall->{before} / 2 ? 5 : 1.5;
            # They are looked at each tenth of a second.
            push @hasty, sprintf '%s: %d -> %d after %.3f s', $source,
                @$fall{qw(before after held)} if $fall->{held} < $least - 0.1;
        }
    }
    return @hasty;
}

# { requests, failed } of the load.
sub finish {
    my ($self) = @_;
    $self->{history}->stop;
    return $self->{t}->stop_load;
}

1;
