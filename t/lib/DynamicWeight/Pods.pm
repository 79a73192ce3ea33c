package DynamicWeight::Pods;

# The pods of a Service, one by one: their EndpointSlices in a fake cluster or a
# real API server.
#
#   my $pods = DynamicWeight::Pods->new($cluster, 'prod', 'orders',
#       ports => { http => 8080 });
#   $pods->set('127.7.0.1', '127.7.0.2');
#   $pods->change('127.7.0.1', state => 'terminating');

use strict;
use warnings;

use JSON::PP;

# Options: `ports` by name, `slice` size, `v6`: a code that gives a pod's IPv6
# address for its own one; they are in IPv6 slices, too.
sub new {
    my ($class, $cluster, $ns, $name, %opt) = @_;
    return bless { cluster => $cluster, ns => $ns, name => $name, serial => 0,
        size => 100, pods => [], written => 0, %opt }, $class;
}

# All of them anew, ready.
sub set {
    my ($self, @addresses) = @_;
    $self->{pods} = [];
    return $self->add(@addresses);
}

sub add {
    my ($self, @addresses) = @_;
    push @{$self->{pods}}, map { {
        address => $_, state => 'ready', ports => $self->{ports},
        name => "$self->{name}-" . ++$self->{serial},
    } } @addresses;
    return $self->write;
}

# What of a pod, or of some, is another from now on: state (ready, terminating,
# not_ready), ports, name.
sub change {
    my ($self, $addresses, %what) = @_;
    my %of = map { $_ => 1 } ref $addresses ? @$addresses : $addresses;
    for my $pod (grep { $of{$_->{address}} } @{$self->{pods}}) {
        @$pod{keys %what} = values %what;
    }
    return $self->write;
}

sub remove {
    my ($self, @addresses) = @_;
    my %gone = map { $_ => 1 } @addresses;
    $self->{pods} = [grep { !$gone{$_->{address}} } @{$self->{pods}}];
    return $self->write;
}

sub addresses { return map { $_->{address} } @{$_[0]{pods}} }

my %conditions = (
    ready       => [1, 1, 0],
    terminating => [0, 1, 1],
    not_ready   => [0, 0, 0],
);

sub endpoint {
    my ($self, $pod, $address) = @_;
    my %condition;
    @condition{qw(ready serving terminating)}
        = map { $_ ? JSON::PP::true : JSON::PP::false }
        @{$conditions{$pod->{state}}};
    return {
        addresses  => [$address],
        conditions => \%condition,
        nodeName   => "worker-of-$pod->{name}",
        targetRef  => { kind => 'Pod', namespace => $self->{ns},
            name => $pod->{name}, uid => "uid-of-$pod->{name}" },
    };
}

# Slices as their controller makes them: those of one have the same ports.
sub write {
    my ($self) = @_;
    my (%groups, @order);
    for my $pod (@{$self->{pods}}) {
        my $key = join ' ', map { "$_=$pod->{ports}{$_}" }
            sort keys %{$pod->{ports}};
        push @order, $key unless $groups{$key};
        push @{$groups{$key}}, $pod;
    }
    my @slices;
    for my $key (@order) {
        my @pods = @{$groups{$key}};
        push @slices, [splice @pods, 0, $self->{size}] while @pods;
    }
    push @slices, [] unless @slices;    # as the controller leaves one
    my $n = 0;
    for my $pods (@slices) {
        $self->put('IPv4', $n, $self->{v6_only} ? [] : $pods,
            map { $_->{address} } @$pods);
        $self->put('IPv6', $n, $pods, map { $self->{v6}->($_->{address}) } @$pods)
            if $self->{v6};
        $n++;
    }
    for my $type ('IPv4', $self->{v6} ? 'IPv6' : ()) {
        $self->put($type, $_, []) for $n .. $self->{written} - 1;
    }
    $self->{written} = $n;
    return $self;
}

sub put {
    my ($self, $type, $n, $pods, @addresses) = @_;
    my $ports = $pods->[0] ? $pods->[0]{ports} : $self->{ports};
    my $name = "$self->{name}-" . lc($type) . "-$n";
    my $slice = {
        metadata => { name => $name, namespace => $self->{ns},
            labels => { 'kubernetes.io/service-name' => $self->{name} } },
        addressType => $type,
        endpoints => [map { $self->endpoint($pods->[$_], $addresses[$_]) }
            0 .. $#$pods],
        ports => [map { { name => $_, port => $ports->{$_} + 0,
            protocol => 'TCP' } } sort keys %$ports],
    };
    if ($self->{cluster}->can('apply')) {
        $self->{cluster}->apply(EndpointSlice => $slice);
    } else {
        $self->{cluster}->put("slice $name", POST => 'objects',
            { %$slice, kind => 'EndpointSlice',
                apiVersion => 'discovery.k8s.io/v1' });
    }
    return;
}

1;
