package FixedRate;

# Load at half the rate that an edge can serve on this machine, by h2load
# (nghttp2-client). What saturates a machine measures who gets the processor,
# and every helper of a benchmark wants some; this measures the edge.

use strict;
use warnings;

use constant CLIENTS => 16;

# new FixedRate($url, $file): asks as fast as it is answered, for 3 s, to find
# the rate. The file is for h2load's log.
sub new {
    my ($class, $url, $file) = @_;
    my $self = bless { url => $url, file => $file,
        h2load => 'h2load --h1 --clients=' . CLIENTS }, $class;
    my ($most) = (`$self->{h2load} --duration=3 $url` // '')
        =~ m{, ([\d.]+) req/s}
        or die "h2load is needed: apt-get install nghttp2-client\n";
    $self->{of_each} = int($most / 2 / CLIENTS);
    return $self;
}

# Requests a second, of all clients.
sub rate { $_[0]{of_each} * CLIENTS }

# The 99th percentile of latency, ms. Dies when a request fails.
sub p99 {
    my ($self, $seconds) = @_;
    unlink $self->{file};
    system("$self->{h2load} --duration=$seconds --rps=$self->{of_each} "
        . "--log-file=$self->{file} $self->{url} > /dev/null") == 0
        or die "h2load failed\n";
    open my $f, '<', $self->{file} or die "$self->{file}: $!\n";
    my @ms;
    while (my $line = <$f>) {
        my ($start, $status, $us) = split ' ', $line;
        die "a request failed: $line" if $status != 200;
        push @ms, $us / 1000;
    }
    @ms = sort { $a <=> $b } @ms;
    return $ms[$#ms * 0.99];
}

1;
