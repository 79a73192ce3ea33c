package DynamicWeight::Estate::SteadyLoad;

# So many requests a second, over all applications and edges in turn, whatever
# becomes of them: one that waits keeps no other from being sent. Latency is
# counted from when a request was due.
#
#   my $load = DynamicWeight::Estate::SteadyLoad->new($t, 1000,
#       [map { $_->port } @edges], ['app-01', ...]);
#   my $so_far = $load->read;
#   $load->stop;
#
# What is read is { seconds => { SECOND => { requests, retried, clusters => {
# NAME => count }, p99 (ms), worst } }, failed => [{ sent (when it was due),
# asked, at, app, status, body }], requests, retried }, the time of each request being that of its answer.
#
# As clients do, a GET is asked once again, on a new connection, when its connection
# ended before anything of an answer came: retried.

use strict;
use warnings;

use IO::Socket::INET;
use JSON::XS;
use List::Util qw(max min sum0);
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use constant {
    PATIENCE  => 30,    # seconds, for an answer
    MOST_IDLE => 32,    # connections to an edge
    # A machine that does not keep up is not asked more at once: what is sent
    # later was due earlier all the same.
    MOST_RUNNING => 400,
};

my $json = JSON::XS->new->canonical;

sub new {
    my ($class, $t, $rate, $ports, $apps) = @_;
    my $number = ++$t->{load_number};
    my $self = bless { t => $t, rate => $rate, ports => $ports, apps => $apps,
        file => "$t->{dir}/steady-load.$number", owner => $$ }, $class;
    $t->write_file("steady-load.$number", '');
    push @{$t->{clusters}}, $self;
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        eval { $self->run; 1 } or print STDERR "load: $@";
        POSIX::_exit(1);
    }
    return $self;
}

# Answers that are still to come are waited for.
sub stop {
    my ($self, $signal) = @_;
    return unless $$ == $self->{owner};
    my $pid = delete $self->{pid} or return;
    kill 'TERM', $pid;
    waitpid $pid, 0;
}

# ---- The process.

sub run {
    my ($self) = @_;
    my $parent = getppid;
    my $ending = 0;
    local $SIG{TERM} = sub { $ending = 1 };
    local $SIG{PIPE} = 'IGNORE';
    open $self->{out}, '>>', $self->{file} or die "$self->{file}: $!\n";
    $self->{out}->autoflush(1);
    @$self{qw(bits client idle second running)} = ('', [], {}, {}, 0);
    my ($began, $sent) = (time, 0);
    while (1) {
        POSIX::_exit(1) if getppid != $parent;
        my $due = $ending ? $sent : int((time - $began) * $self->{rate});
        while ($sent < $due && $self->{running} < MOST_RUNNING) {
            $self->ask({ sent => $began + $sent / $self->{rate},
                app => $self->{apps}[$sent % @{$self->{apps}}],
                port => $self->{ports}[
                    int($sent / @{$self->{apps}}) % @{$self->{ports}}] });
            $sent++;
        }
        last if $ending && !$self->{running};
        my $next = $ending ? 0.1
            : max(0, $began + ($sent + 1) / $self->{rate} - time);
        my $n = select my $ready = $self->{bits}, undef, undef, min($next, 0.1);
        $self->note_seconds(int time);
        $self->give_up;
        next if $n <= 0;
        my $set = unpack 'b*', $ready;
        for (my $fd = index $set, '1'; $fd >= 0; $fd = index $set, '1', $fd + 1) {
            $self->take($self->{client}[$fd]) if $self->{client}[$fd];
        }
    }
    $self->note_seconds(9**9);
    POSIX::_exit(0);
}

# Sends a request on a connection that is idle, or a new one.
sub ask {
    my ($self, $request) = @_;
    my $client = $request->{again} ? undef
        : pop @{$self->{idle}{$request->{port}}};
    if (!$client) {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $request->{port});
        if (!$socket) {
            $self->{running}++;
            return $self->done($request, "connect: $!", '');
        }
        setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
        $client = { socket => $socket };
        $self->{client}[fileno $socket] = $client;
        vec($self->{bits}, fileno $socket, 1) = 1;
    }
    $request->{asked} = time;
    @$client{qw(request text)} = ($request, '');
    $self->{running}++;
    syswrite $client->{socket}, "GET / HTTP/1.1\r\nHost: $request->{app}\r\n\r\n";
}

sub take {
    my ($self, $client) = @_;
    my $request = $client->{request};
    if (!sysread $client->{socket}, $client->{text}, 65536,
        length $client->{text})
    {
        $self->hang_up($client);
        return unless $request;
        if (!$request->{again} && $client->{text} eq '') {
            $self->{running}--;
            $self->{second}{int time}{retried}++;
            return $self->ask({ %$request, again => 1 });
        }
        return $self->done($request, 'cut off', $client->{text});
    }
    return $self->hang_up($client) unless $request;    # nobody has asked
    $client->{text} =~ m{^HTTP/1\.1 (\d+).*?\r\n\r\n}s or return;
    my ($status, $end) = ($1, $+[0]);
    my ($length) = $client->{text} =~ /^Content-Length: (\d+)/mi or return;
    return if length $client->{text} < $end + $length;
    my $body = substr $client->{text}, $end;
    my $close = $client->{text} =~ /^Connection: close/mi;
    $client->{request} = undef;
    my $idle = $self->{idle}{$request->{port}} //= [];
    $close || @$idle >= MOST_IDLE ? $self->hang_up($client)
        : push @$idle, $client;
    return $self->done($request, $status, $body);
}

sub hang_up {
    my ($self, $client) = @_;
    my $fd = fileno $client->{socket};
    vec($self->{bits}, $fd, 1) = 0;
    $self->{client}[$fd] = undef;
    for my $idle (values %{$self->{idle}}) {
        @$idle = grep { $_ != $client } @$idle unless $client->{request};
    }
    close $client->{socket};
}

# What has no answer at all is not waited for without an end.
sub give_up {
    my ($self) = @_;
    return if ($self->{looked} // 0) > time - 1;
    $self->{looked} = time;
    for my $client (grep { $_ && $_->{request}
        && $_->{request}{asked} < time - PATIENCE } @{$self->{client}})
    {
        $self->hang_up($client);
        $self->done($client->{request}, 'no answer', '');
    }
}

sub done {
    my ($self, $request, $status, $body) = @_;
    my $now = time;
    $self->{running}--;
    my $second = $self->{second}{int $now} //= {};
    $second->{requests}++;
    push @{$second->{ms}}, 1000 * ($now - $request->{sent});
    if ($status eq '200') {
        $second->{clusters}{$body =~ /^(\S+) / ? $1 : '-'}++;
        return;
    }
    push @{$second->{failed}}, { sent => $request->{sent}, at => $now,
        asked => $request->{asked} // $now,
        app => $request->{app}, status => $status,
        body => substr($body, 0, 60) };
}

# Writes down what is over.
sub note_seconds {
    my ($self, $now) = @_;
    for my $at (sort { $a <=> $b } grep { $_ < $now } keys %{$self->{second}}) {
        my $second = delete $self->{second}{$at};
        my @ms = sort { $a <=> $b } @{delete $second->{ms} // []};
        print {$self->{out}} $json->encode({ at => $at, requests => 0,
            retried => 0, failed => [], clusters => {}, %$second,
            @ms ? (p99 => $ms[$#ms * 0.99], worst => $ms[-1]) : () }), "\n";
    }
}

# ---- What it noted.

sub read {
    my ($self) = @_;
    my %noted = (seconds => {}, failed => [], requests => 0, retried => 0);
    open my $f, '<', $self->{file} or die "$self->{file}: $!\n";
    while (my $line = <$f>) {
        last unless $line =~ /\n\z/;
        my $second = $json->decode($line);
        $noted{seconds}{$second->{at}} = $second;
        $noted{$_} += $second->{$_} for qw(requests retried);
        push @{$noted{failed}}, @{$second->{failed}};
    }
    return \%noted;
}

1;
