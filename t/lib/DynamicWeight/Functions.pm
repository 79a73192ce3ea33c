package DynamicWeight::Functions;

# What every test uses: waiting, ports, one request. DynamicWeight exports it.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_for wait_ok free_port http_get);

# Polls a condition; false, after a diagnosis, when it never comes true.
sub wait_for(&;$$) {
    my ($condition, $what, $seconds) = @_;
    my $end = time + ($seconds // 30);
    while (1) {
        my $value = eval { $condition->() };
        return $value if $value;
        if (time > $end) {
            diag('waited in vain: ' . ($what // 'a condition'));
            return;
        }
        sleep 0.02;
    }
}

# wait_for as a test of its own.
sub wait_ok(&$;$) {
    my ($condition, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(&wait_for($condition, $name, $seconds), $name);
}

# A port for a server to listen on, below those that connections get, which may
# be in use at any time. Tests that run beside each other, or that listen later,
# get others: whoever has a port holds a socket by its name while it lives.
my %taken;

sub free_port {
    while (1) {
        my $port = 10_240 + int rand 22_528;
        return $port if hold_port($port);
    }
}

# Takes this port; false when another has it.
sub hold_port {
    my ($port) = @_;
    return if $taken{$port};
    my $held = IO::Socket::UNIX->new(Listen => 1,
        Local => "\0dynamic-weight-port-$port") or return;
    my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '0.0.0.0',
        LocalPort => $port) or return;
    close $s;
    return $taken{$port} = $held;
}

# One request on a connection of its own: { status, body, headers }, or nothing
# when the answer is not complete.
sub http_get {
    my ($port, $uri, %opt) = @_;
    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10)
        or return;
    my $method = $opt{method} // 'GET';
    my $body   = $opt{body}   // '';
    my $length = length $body;
    local $SIG{PIPE} = 'IGNORE';
    print $s "$method $uri HTTP/1.0\r\nHost: localhost\r\n"
        . ($length ? "Content-Length: $length\r\n" : '')
        . ($opt{headers} // '') . "\r\n$body";
    my $answer = '';
    my $select = IO::Select->new($s);
    while (1) {
        $select->can_read($opt{timeout} // 20) or return;
        my $n = sysread $s, $answer, 65536, length $answer;
        return unless defined $n;
        last if $n == 0;
    }
    $answer =~ m{^HTTP/1\.\d (\d+)[^\r]*\r\n(.*?)\r\n\r\n(.*)}s or return;
    my ($status, $head, $text) = ($1, $2, $3);
    return if $head =~ /^Content-Length: (\d+)/mi && $method ne 'HEAD'
        && length $text < $1;
    return { status => $status, headers => $head, body => $text };
}

1;
