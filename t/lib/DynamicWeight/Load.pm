package DynamicWeight::Load;

# A world's load: processes that ask / (`uri`: another, or several in turn) on a
# new connection each time, as fast as they can or with a `pause` of some seconds
# after each, where the load is long and need only be there all the time.
# DynamicWeight inherits from it.

use strict;
use warnings;

use IO::Socket::INET;
use JSON::XS;
use POSIX ();
use Time::HiRes qw(sleep);

use DynamicWeight::Functions;

sub start_load {
    my ($self, $processes, %opt) = @_;
    my $n = ++$self->{load_number};
    my $stop = "$self->{dir}/load.$n.stop";
    for my $i (1 .. $processes // 2) {
        my $pid = fork // die "fork: $!\n";
        if ($pid) {
            push @{$self->{load}}, $pid;
            next;
        }
        my (%status, $requests);
        $requests = 0;
        my @uris = ref $opt{uri} ? @{$opt{uri}} : $opt{uri} // '/';
        until (-e $stop) {
            for (1 .. 20) {
                my $answer =
                    http_get($self->{port}, $uris[$requests % @uris]);
                $requests++;
                $status{$answer ? $answer->{status} : 'broken'}++;
                sleep $opt{pause} if $opt{pause};
            }
            $self->write_file("load.$n.$i", encode_json({
                requests => $requests, statuses => \%status }))
                unless $requests % 200;
        }
        $self->write_file("load.$n.$i", encode_json({
            requests => $requests, statuses => \%status }));
        POSIX::_exit(0);
    }
    return $n;
}

# { requests, failed, statuses } of all load since start_load.
sub stop_load {
    my ($self) = @_;
    $self->write_file("load.$self->{load_number}.stop", '');
    waitpid $_, 0 for splice @{$self->{load}};
    return $self->load_so_far;
}

# The same while it goes on; the last 200 requests of each process may be
# missing.
sub load_so_far {
    my ($self) = @_;
    my $n = $self->{load_number};
    my %sum = (requests => 0, failed => 0, statuses => {});
    for my $file (glob "$self->{dir}/load.$n.[0-9]*") {
        open my $f, '<', $file or next;
        my $one = eval { decode_json(do { local $/; <$f> }) }
            or next;    # it is being written
        $sum{requests} += $one->{requests};
        for my $status (keys %{$one->{statuses}}) {
            $sum{statuses}{$status} += $one->{statuses}{$status};
            $sum{failed} += $one->{statuses}{$status} unless $status eq '200';
        }
    }
    return \%sum;
}

# Reads `n` answers of / over `connections` kept ones in turn, spread over at
# least `workers` workers: the list of bodies, in order.
sub sequence {
    my ($self, $n, $workers) = @_;
    my (%by_pid, @all);
    my $ask = sub {
        my ($s) = @_;
        print $s "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        my $answer = '';
        until ($answer =~ /\r\n\r\n.*\n\z/s) {
            sysread($s, $answer, 4096, length $answer) or return;
        }
        my ($pid) = $answer =~ /^X-Worker: (\d+)/m;
        my ($body) = $answer =~ /\r\n\r\n(.*)\n\z/s;
        return ($pid, $body);
    };
    my @bodies;
    for (1 .. 400) {
        last if keys %by_pid >= $workers;
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port}) or die "connect: $!\n";
        $s->autoflush(1);
        push @all, $s;
        my ($pid, $body) = $ask->($s);
        push @bodies, $body;
        $by_pid{$pid} //= $s;
    }
    my @in_turn = values %by_pid;
    while (@bodies < $n) {
        my (undef, $body) = $ask->($in_turn[@bodies % @in_turn]);
        push @bodies, $body // 'broken';
    }
    return { workers => scalar @in_turn, bodies => \@bodies };
}

1;
