package DynamicWeight::InFlight;

# Load that keeps so many requests running: each of K connections asks again as
# soon as it has its answer.
#
#   my ($a, $b) = in_flight(
#       { port => $port, in_flight => 16, requests => 1000 },
#       { port => $other, in_flight => 1, requests => 50,
#         uri => sub { "/?k=$_[0]" },       # of request 0, 1, ...
#         method => sub { 'GET' } });       # the same
#
# runs all at the same time and returns when each has had all its answers: for
# each { statuses => { 200 => 1000 }, bodies => { BODY => count } of those of
# 200, answers => [{ status, body, head, seconds } by request] }. A connection
# that ends without an answer is a status `broken`.

use strict;
use warnings;

use Errno;
use Exporter 'import';
use IO::Socket::INET;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(in_flight);

# Of no answer at all, of anyone.
use constant PATIENCE => 60;

sub in_flight {
    my @groups = @_;
    my (@result, @connection);
    my ($bits, $running) = ('', 0);

    my $hang_up = sub {
        my $socket = delete $_[0]{socket} or return;
        vec($bits, fileno $socket, 1) = 0;
        close $socket;
    };
    my $ask = sub {
        my ($c) = @_;
        my $group = $c->{group};
        return $hang_up->($c) if $c->{result}{asked} >= $group->{requests};
        $c->{number} = $c->{result}{asked}++;
        if (!$c->{socket}) {
            $c->{socket} = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                PeerPort => $group->{port}) or die "port $group->{port}: $!\n";
            my $fd = fileno $c->{socket};
            vec($bits, $fd, 1) = 1;
            $connection[$fd] = $c;
        }
        my $method = $group->{method} ? $group->{method}->($c->{number})
            : 'GET';
        my $body   = $method eq 'POST' ? 'body' : '';
        my $uri    = $group->{uri} ? $group->{uri}->($c->{number}) : '/';
        $c->{in} = '';
        $c->{began} = time;
        syswrite $c->{socket}, "$method $uri HTTP/1.1\r\nHost: localhost\r\n"
            . ($group->{headers} // '')
            . (length $body ? 'Content-Length: ' . length($body) . "\r\n" : '')
            . "\r\n$body";
        $running++;
    };
    my $done = sub {
        my ($c, $status, $head, $body, $close) = @_;
        $running--;
        $hang_up->($c) if $close;
        my $result = $c->{result};
        $result->{statuses}{$status}++;
        $result->{bodies}{$body =~ s/\n\z//r}++ if $status eq '200';
        $result->{answers}[$c->{number}] = { status => $status, head => $head,
            body => $body, seconds => time - $c->{began} };
        $ask->($c);
    };

    local $SIG{PIPE} = 'IGNORE';
    for my $group (@groups) {
        push @result, { asked => 0, statuses => {}, bodies => {},
            answers => [] };
        $ask->({ group => $group, result => $result[-1] })
            for 1 .. $group->{in_flight};
    }
    while ($running) {
        my $found = select my $ready = $bits, undef, undef, PATIENCE;
        next if $found < 0 && $!{EINTR};    # a child has ended
        die "$running requests have no answer\n" if $found <= 0;
        my $set = unpack 'b*', $ready;
        for (my $fd = index $set, '1'; $fd >= 0; $fd = index $set, '1', $fd + 1) {
            my $c = $connection[$fd];
            my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};
            if (!$n) {
                $done->($c, 'broken', '', '', 1);
                next;
            }
            $c->{in} =~ m{^HTTP/1\.1 (\d+).*?\r\n\r\n}s or next;
            my ($status, $end) = ($1, $+[0]);
            my $head = substr $c->{in}, 0, $end;
            my ($length) = $head =~ /^Content-Length: (\d+)/mi
                or die "an answer without a length: $head\n";
            next if length $c->{in} < $end + $length;
            $done->($c, $status, $head, substr($c->{in}, $end),
                scalar $head =~ /^Connection: close/mi);
        }
    }
    delete $_->{asked} for @result;
    return wantarray ? @result : $result[0];
}

1;
