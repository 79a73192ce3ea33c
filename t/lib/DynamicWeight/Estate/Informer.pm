package DynamicWeight::Estate::Informer;

# What an API server says of some kinds, kept up to date in a process that has a
# select loop of its own: lists and watches by curl, begun again when one ends.
#
#   my $informer = DynamicWeight::Estate::Informer->new($kube, 'prod',
#       qw(Node Ingress EndpointSlice));
#   while (1) {
#       for my $handle ($select->can_read(0.1)) {
#           $informer->read($handle);        # true: something has changed; a
#                                            # code is run after each change
#       }
#       $informer->tick;                     # begins again what has ended
#   }
#   $informer->objects('Node');              # name => object
#   $informer->since;      # what is new was not there before this time
#
# Kinds of a namespace are read in that one.

use strict;
use warnings;

use IO::Select;
use JSON::XS;
use Time::HiRes qw(time);

use DynamicWeight::KubeObjects;

# All there is first, then a bookmark, then what changes.
use constant QUERY => 'watch=1&sendInitialEvents=true'
    . '&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
use constant AGAIN_SECONDS => 0.1;

my $json = JSON::XS->new->utf8;

sub new {
    my ($class, $kube, $ns, @kinds) = @_;
    my $self = bless { kube => $kube, quiet => time, since => time,
        select => IO::Select->new, by_handle => {} }, $class;
    $self->{streams} = [map { { kind => $_, objects => {}, text => '',
        ns => $_ eq 'Node' ? undef : $ns, next => 0 } } @kinds];
    $self->tick;
    return $self;
}

sub select { $_[0]{select} }
sub since  { $_[0]{since} }
# What changed last was found by a list: there may have been more.
sub leaped { $_[0]{leaped} }

sub objects {
    my ($self, $kind) = @_;
    my ($stream) = grep { $_->{kind} eq $kind } @{$self->{streams}};
    return $stream->{objects};
}

# All that was there has been read once.
sub known { !grep { !$_->{known} } @{$_[0]{streams}} }

sub tick {
    my ($self) = @_;
    for my $stream (grep { !$_->{handle} && time >= $_->{next} }
        @{$self->{streams}})
    {
        my $path = DynamicWeight::KubeObjects::collection(
            @$stream{qw(kind ns)}) . '?' . QUERY;
        my $config = $self->{kube}->curl_config($path,
            $self->{kube}->ADMIN_TOKEN, "no-buffer\nconnect-timeout = 2");
        $stream->{pid} = open my $handle, '-|', 'setpriv', '--pdeathsig',
            'KILL', 'curl', '-K', "$config" or die "curl: $!\n";
        @$stream{qw(handle config text complete)} = ($handle, $config, '', 0);
        $stream->{initial} = {};
        $self->{by_handle}{$handle} = $stream;
        $self->{select}->add($handle);
    }
}

# Ends its watches; where the process goes on.
sub stop {
    my ($self) = @_;
    for my $stream (values %{$self->{by_handle}}) {
        kill 'KILL', $stream->{pid};
        close $stream->{handle};
    }
    $self->{by_handle} = {};
}

# Nothing had come at this time: what comes later is newer.
sub is_quiet {
    my ($self, $at) = @_;
    $self->{quiet} = $at unless grep { !$_->{complete} } @{$self->{streams}};
}

sub read {
    my ($self, $handle, $each) = @_;
    my $stream = $self->{by_handle}{$handle} or return;
    if (!sysread $handle, $stream->{text}, 1 << 20, length $stream->{text}) {
        $self->{select}->remove($handle);
        delete $self->{by_handle}{$handle};
        close $handle;
        @$stream{qw(handle complete next)} = (undef, 0, time + AGAIN_SECONDS);
        return;
    }
    my $changed = 0;
    while ($stream->{text} =~ s/^(.*)\n//) {
        my $event = $json->decode($1);
        # The version is too old, or the server not ready: it ends.
        next if $event->{type} !~ /^(?:ADDED|MODIFIED|DELETED|BOOKMARK)$/;
        next unless $self->take($stream, $event);
        $changed++;
        $self->{leaped} = $event->{type} eq 'BOOKMARK' ? 1 : 0;
        $self->{since} = $self->{quiet};
        $each->() if $each && $self->known;
    }
    return $changed;
}

sub take {
    my ($self, $stream, $event) = @_;
    my $meta = $event->{object}{metadata};
    if ($event->{type} eq 'BOOKMARK') {
        return 0 if $stream->{complete}
            || !$meta->{annotations}{'k8s.io/initial-events-end'};
        # What was there before the breach and has not come again is gone.
        $stream->{objects} = delete $stream->{initial};
        return $stream->{known} = $stream->{complete} = 1;
    }
    my $objects = $stream->{complete} ? $stream->{objects} : $stream->{initial};
    if ($event->{type} eq 'DELETED') { delete $objects->{$meta->{name}} }
    else { $objects->{$meta->{name}} = $event->{object} }
    return $stream->{complete} ? 1 : 0;
}

# ---- What the objects say.

# Addresses of the ingress nodes that are Ready (or of all), to their names.
sub nodes {
    my ($self, $all) = @_;
    my %name;
    for my $node (values %{$self->objects('Node')}) {
        next if ($node->{metadata}{labels}{role} // '') ne 'ingress';
        next unless $all || is_ready($node);
        my ($address) = grep { $_->{type} eq 'InternalIP' }
            @{$node->{status}{addresses} // []};
        $name{$address->{address}} = $node->{metadata}{name} if $address;
    }
    return \%name;
}

# The same of the nodes that have a pod labelled app=ingress that is ready (or
# any), of those that nobody means to go.
sub hosts {
    my ($self, $all) = @_;
    my %name;
    for my $pod (values %{$self->objects('Pod')}) {
        next if ($pod->{metadata}{labels}{app} // '') ne 'ingress'
            || $pod->{metadata}{deletionTimestamp} || !$pod->{status}{hostIP};
        next unless $all || is_ready($pod);
        $name{$pod->{status}{hostIP}} = $pod->{spec}{nodeName};
    }
    return \%name;
}

sub is_ready {
    my ($object) = @_;
    return scalar grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' }
        @{$object->{status}{conditions} // []};
}

# The pods of each Service: { APP => [name of pod, ...] }. Those that are ready;
# where there are none, those that serve while they terminate.
sub endpoints {
    my ($self) = @_;
    my (%ready, %serving);
    for my $slice (values %{$self->objects('EndpointSlice')}) {
        my $app = $slice->{metadata}{labels}{'kubernetes.io/service-name'}
            // next;
        $ready{$app} //= {};
        for my $endpoint (@{$slice->{endpoints} // []}) {
            my $pod = $endpoint->{targetRef}{name} // next;
            my $conditions = $endpoint->{conditions};
            $ready{$app}{$pod} = 1 if $conditions->{ready};
            $serving{$app}{$pod} = 1
                if $conditions->{serving} && $conditions->{terminating};
        }
    }
    return { map {
        my $pods = %{$ready{$_}} ? $ready{$_} : $serving{$_} // {};
        $_ => [sort keys %$pods]
    } keys %ready };
}

# { APP => status.readyReplicas } of a kind.
sub ready_replicas {
    my ($self, $kind) = @_;
    my $objects = $self->objects($kind);
    return { map { $_ => $objects->{$_}{status}{readyReplicas} // 0 }
        keys %$objects };
}

1;
