package DynamicWeight::Estate::IngressNodes;

# The ingress nodes of a cluster: a server on each of their addresses that does
# what its API server says. For an application (the request's Host) whose Ingress
# is gone it answers 404, for one without a pod 503; else it is one of its pods'
# turn, whose name is the answer: "CLUSTER NODE POD".
#
#   my $nodes = DynamicWeight::Estate::IngressNodes->new($t, $kube, 'prod',
#       $port, '127.0.1.1', '127.0.1.2');
#   $nodes->freeze; $nodes->thaw;    # as a machine that hangs
#   $nodes->stop; $nodes->start;     # as one that is off
#
# It is a process of its own, which holds on to what it knew while the API does
# not answer.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Socket qw(inet_ntoa unpack_sockaddr_in SOMAXCONN);
use Time::HiRes qw(time);

use DynamicWeight;
use DynamicWeight::Estate::Informer;

sub new {
    my ($class, $t, $kube, $ns, $port, @addresses) = @_;
    my $self = bless { t => $t, kube => $kube, ns => $ns, port => $port,
        addresses => \@addresses, owner => $$ }, $class;
    push @{$t->{clusters}}, $self;
    return $self->start;
}

sub start {
    my ($self) = @_;
    my $ready = "$self->{t}{dir}/ingress-$self->{addresses}[0]";
    unlink $ready;
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        eval { $self->serve($ready); 1 } or print STDERR "ingress nodes: $@";
        POSIX::_exit(1);
    }
    DynamicWeight::wait_for(sub { -e $ready }, 'the ingress nodes', 60)
        or die "the ingress nodes of @{[$self->{kube}->name]} do not start\n";
    return $self;
}

sub freeze { kill 'STOP', $_[0]{pid} }
sub thaw   { kill 'CONT', $_[0]{pid} }

sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    my $pid = delete $self->{pid} or return;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

# ---- The process.

sub serve {
    my ($self, $ready) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $parent = getppid;
    my (%listens, %client, $bits);
    $bits = '';
    for my $address (@{$self->{addresses}}) {
        my $socket = IO::Socket::INET->new(LocalAddr => $address,
            LocalPort => $self->{port}, Listen => SOMAXCONN, ReuseAddr => 1)
            or die "$address:$self->{port}: $!\n";
        $listens{fileno $socket} = [$socket, $address];
        vec($bits, fileno $socket, 1) = 1;
    }
    my $informer = DynamicWeight::Estate::Informer->new($self->{kube},
        $self->{ns}, qw(Ingress EndpointSlice));
    my $told = 0;
    while (1) {
        POSIX::_exit(0) if getppid != $parent;
        $informer->tick;
        my %stream = map { fileno $_ => $_ } $informer->select->handles;
        my $waits = $bits;
        vec($waits, $_, 1) = 1 for keys %stream;
        my $n = select $waits, undef, undef, 0.05;
        next if $n <= 0;
        my $set = unpack 'b*', $waits;
        my (@asked, $changed);
        for (my $fd = index $set, '1'; $fd >= 0; $fd = index $set, '1', $fd + 1) {
            if ($stream{$fd}) { $changed = 1 if $informer->read($stream{$fd}) }
            elsif ($listens{$fd}) {
                my ($socket, $address) = @{$listens{$fd}};
                my $new = $socket->accept or next;
                $client{fileno $new} = { socket => $new, node => $address,
                    text => '' };
                vec($bits, fileno $new, 1) = 1;
            } else { push @asked, $fd }
        }
        if ($changed && $informer->known) {
            $self->{pods} = $informer->endpoints;
            $self->{ingresses} = $informer->objects('Ingress');
            $told ||= open my $f, '>', $ready;
        }
        for my $fd (@asked) {
            next if $self->answer($client{$fd});
            vec($bits, $fd, 1) = 0;
            close delete($client{$fd})->{socket};
        }
    }
}

# False when the connection has ended.
sub answer {
    my ($self, $client) = @_;
    sysread $client->{socket}, $client->{text}, 65536, length $client->{text}
        or return;
    while ($client->{text} =~ s/\A(.*?)\r\n\r\n//s) {
        my ($app) = $1 =~ /^Host: ([^\r:]+)/mi;
        my ($status, $pod) = $self->route($app // '');
        my $body = join(' ', $self->{kube}->name, $client->{node}, $pod) . "\n";
        syswrite $client->{socket}, "HTTP/1.1 $status\r\nContent-Length: "
            . length($body) . "\r\n\r\n$body" or return;
    }
    return 1;
}

sub route {
    my ($self, $app) = @_;
    return ('404 Not Found', '-') unless $self->{ingresses}{$app};
    my $pods = $self->{pods}{$app};
    return ('503 Service Unavailable', '-') unless $pods && @$pods;
    return ('200 OK', $pods->[$self->{turn}{$app}++ % @$pods]);
}

1;
