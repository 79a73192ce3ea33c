package DynamicWeight::SlowServers;

# Servers on one port of many loopback addresses, a process of its own: each
# answers "ADDRESS\n" a set time after a request came, over kept connections,
# and counts. At run time each can be made slower, refuse connections, answer
# with another status, or be unlucky with what it keeps:
#
#   my $servers = $t->slow_servers(      # on port %%BACKEND%%
#       addresses => ['127.0.0.1', '127.0.0.2'], delay => 0.02);
#   $servers->set('127.0.0.2', delay => 0.2);       # seconds
#   $servers->set('127.0.0.2', status => 500);
#   $servers->set('127.0.0.2', refuse => 1);        # nobody listens; 'new':
#                                                   # what is open stays so
#   $servers->set('127.0.0.2', stale => 'fin');     # see below
#   $servers->set('127.0.0.2', hole => 1);          # swallows SYNs: a
#                                                   # connection never comes up
#   $servers->set('127.0.0.2', uri => '/healthz', mode => 'drip');  # see below
#   $servers->requests;                             # { ADDRESS => count }
#
# `stale`: a request on a connection that has had an answer before is read, and
# the connection closed instead of answered, as when the server had closed it at
# the moment when the request was under way; 'rst' resets it, which a client may
# see while it writes. `restart` => N: after every N answers a server closes all
# connections that are kept, whatever is under way on them. `deaf`: every
# connection is closed as soon as a request was read.
#
# `mode`, of requests for `uri` alone where there is one: `drip`, a byte of the
# header now and then, without end; `flood`, a body of a gigabyte; `half`, the
# connection is closed in the middle of the header, `cut` of the body; `garbage`,
# what is no HTTP; `silent`, no answer; a number, that status.
#
# set() returns when it has taken effect.

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

sub new {
    my ($class, %opt) = @_;
    my $self = bless {
        owner => $$,
        port  => $opt{port},
        delay => $opt{delay} // 0,
        address => { map { $_ => { name => $_, requests => 0, answers => 0 } }
            @{$opt{addresses}} },
    }, $class;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";
    $self->listen($_) for values %{$self->{address}};
    $self->{pid} = fork // die "fork: $!\n";
    if ($self->{pid} == 0) {
        close $ours;
        $self->{control} = $theirs;
        eval { $self->serve; 1 } or warn "slow servers: $@";
        POSIX::_exit(0);
    }
    close $theirs;
    delete $_->{listen} for values %{$self->{address}};
    $self->{control} = $ours;
    $ours->autoflush(1);
    return $self;
}

sub set {
    my ($self, $address, %what) = @_;
    for my $one (ref $address ? @$address : $address) {
        $self->call({ address => $one, set => \%what });
    }
}

# Requests that arrived since the last call of it.
sub requests { $_[0]->call({ requests => 1 }) }

# Closes all connections that are kept.
sub close_idle { $_[0]->call({ close_idle => 1 }) }

sub call {
    my ($self, $what) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{control} } encode_json($what), "\n"
        or die "the slow servers have ended\n";
    my $answer = readline $self->{control};
    die "the slow servers have ended\n" unless defined $answer;
    return decode_json($answer);
}

sub stop {
    my ($self) = @_;
    return unless $self->{pid} && $$ == $self->{owner};
    kill 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
}

sub DESTROY { local $?; $_[0]->stop }

# ---- In the process of the servers.

sub listen {
    my ($self, $server) = @_;
    $server->{listen} = IO::Socket::INET->new(Listen => 1024,
        LocalAddr => $server->{name}, LocalPort => $self->{port},
        ReuseAddr => 1, Blocking => 0)
        or die "$server->{name}:$self->{port}: $!\n";
}

sub serve {
    my ($self) = @_;
    $SIG{PIPE} = 'IGNORE';
    $self->{bits}     = '';
    $self->{handlers} = [];    # by file descriptor
    $self->{due}      = {};    # delay => connections in order, [time, c]
    $self->{busy}     = {};    # connections that are written to without end
    $self->watch($self->{control}, sub { $self->obey });
    $self->open_door($_) for values %{$self->{address}};
    while (1) {
        my $wait = %{$self->{busy}} ? 0.02 : 10;
        my $now = time;
        $self->write_more($_) for values %{$self->{busy}};
        for my $queue (values %{$self->{due}}) {
            $self->answer((shift @$queue)->[1])
                while @$queue && $queue->[0][0] <= $now;
            next unless @$queue;
            my $left = $queue->[0][0] - $now;
            $wait = $left if $left < $wait;
        }
        next if select(my $ready = $self->{bits}, undef, undef, $wait) <= 0;
        my $set = unpack 'b*', $ready;
        for (my $fd = index $set, '1'; $fd >= 0; $fd = index $set, '1', $fd + 1) {
            my $handler = $self->{handlers}[$fd] or next;
            $handler->();
        }
    }
}

sub watch {
    my ($self, $socket, $handler) = @_;
    my $fd = fileno $socket;
    vec($self->{bits}, $fd, 1) = 1;
    $self->{handlers}[$fd] = $handler;
}

sub unwatch {
    my ($self, $socket) = @_;
    my $fd = fileno $socket;
    vec($self->{bits}, $fd, 1) = 0;
    $self->{handlers}[$fd] = undef;
}

sub open_door {
    my ($self, $server) = @_;
    my $listen = $server->{listen};
    $self->watch($listen, sub {
        while (my $socket = $listen->accept) {
            $socket->blocking(0);
            my $c = { socket => $socket, server => $server, in => '',
                served => 0, due => 0 };
            $server->{open}{$c} = $c;
            $self->watch($socket, sub { $self->read_request($c) });
        }
    });
}

sub close_door {
    my ($self, $server) = @_;
    my $listen = delete $server->{listen} or return;
    $self->unwatch($listen);
    close $listen;
    return if $server->{refuse} eq 'new';
    $self->hang_up($_) for values %{$server->{open}};
}

sub hang_up {
    my ($self, $c, $reset) = @_;
    my $socket = delete $c->{socket} or return;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $reset;
    $self->unwatch($socket);
    close $socket;
    delete $c->{server}{open}{$c};
    delete $self->{busy}{$c};
}

sub read_request {
    my ($self, $c) = @_;
    my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};
    return if !defined $n && $!{EAGAIN};
    return $self->hang_up($c) unless $n;
    my ($uri) = $c->{in} =~ /^\S+ (\S+)/;
    $c->{in} =~ /\r\n\r\n/ or return;
    my $end = $+[0];
    $end += $1 if substr($c->{in}, 0, $end) =~ /^Content-Length: *(\d+)/mi;
    return if length $c->{in} < $end;
    $c->{in} = substr $c->{in}, $end;
    my $server = $c->{server};
    $server->{requests}++;
    return $self->misbehave($c)
        if $server->{mode} && $uri eq ($server->{uri} // $uri);
    return $self->hang_up($c) if $server->{deaf};
    return $self->hang_up($c, $server->{stale} eq 'rst')
        if $server->{stale} && $c->{served};
    my $delay = $server->{delay} // $self->{delay};
    $c->{due} = 1;
    push @{$self->{due}{$delay}}, [time + $delay, $c];
}

sub misbehave {
    my ($self, $c) = @_;
    my $mode = $c->{server}{mode};
    my %begin = (drip => 'HTTP/1.1 200 So', half => "HTTP/1.1 200 So\r\nX: ",
        cut => "HTTP/1.1 200 So\r\nContent-Length: 10\r\n\r\nhalf",
        flood => "HTTP/1.1 200 So\r\nContent-Length: 1073741824\r\n\r\n",
        garbage => "220 mail.example ESMTP\r\n", silent => '');
    my $text = $begin{$mode}
        // "HTTP/1.1 $mode So\r\nContent-Length: 4\r\n\r\nbusy";
    syswrite $c->{socket}, $text if length $text;
    if ($mode eq 'drip' || $mode eq 'flood') {
        $self->{busy}{$c} = $c;
    } elsif (exists $begin{$mode} && $mode ne 'silent') {
        $self->hang_up($c);
    }
}

# What the client does not read waits; when it has gone so does the connection.
sub write_more {
    my ($self, $c) = @_;
    my $text = $c->{server}{mode} eq 'flood' ? 'x' x 1_000_000 : 'o';
    my $n = syswrite $c->{socket}, $text;
    $self->hang_up($c) if !defined $n && !$!{EAGAIN};
}

# A queue of one that is full: the kernel drops every further SYN.
sub dig_hole {
    my ($self, $server) = @_;
    $self->close_door({ %$server, refuse => 'new' });
    delete $server->{listen};
    my @filled = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
        LocalAddr => $server->{name}, LocalPort => $self->{port})
        or die "$server->{name}:$self->{port}: $!\n";
    push @filled, map { IO::Socket::INET->new(Blocking => 0,
        PeerAddr => $server->{name}, PeerPort => $self->{port}) } 1 .. 8;
    $server->{filled} = \@filled;
}

sub answer {
    my ($self, $c) = @_;
    my $socket = $c->{socket} or return;
    my $server = $c->{server};
    my $body = "$server->{name}\n";
    syswrite $socket, 'HTTP/1.1 ' . ($server->{status} // 200)
        . " So\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    $c->{due} = 0;
    $c->{served}++;
    $self->close_idle_of($server)
        if $server->{restart} && ++$server->{answers} % $server->{restart} == 0;
}

sub close_idle_of {
    my ($self, $server) = @_;
    $self->hang_up($_) for grep { $_->{served} && !$_->{due} } values %{$server->{open}};
}

sub obey {
    my ($self) = @_;
    my $n = sysread $self->{control}, $self->{said}, 65536,
        length($self->{said} // '');
    POSIX::_exit(0) unless $n;
    while ($self->{said} =~ s/^(.*)\n//) {
        my $what = decode_json($1);
        my $answer = {};
        my @all = values %{$self->{address}};
        if ($what->{requests}) {
            $answer->{$_->{name}} = $_->{requests} for @all;
            $_->{requests} = 0 for @all;
        }
        if ($what->{close_idle}) { $self->close_idle_of($_) for @all }
        if (my $set = $what->{set}) {
            my $server = $self->{address}{$what->{address}}
                or die "no server $what->{address}\n";
            %$server = (%$server, %$set);
            delete $server->{filled} unless $server->{hole};
            if ($server->{hole}) {
                $self->dig_hole($server) unless $server->{filled};
            } elsif ($server->{refuse}) {
                $self->close_door($server);
            } elsif (!$server->{listen}) {
                $self->listen($server);
                $self->open_door($server);
            }
        }
        syswrite $self->{control}, encode_json($answer) . "\n";
    }
}

1;
