package DynamicWeight::Estate::Table;

# What a drill prints: for each second its pods and the sums of weights by
# cluster, who answered, what failed, and the 99th percentile of latency.

use strict;
use warnings;

use List::Util qw(max sum0);

# A long drill has a row for several seconds.
use constant MOST_ROWS => 60;

sub lines {
    my ($marks, $load, $weights, $clusters) = @_;
    my ($began, $end) = (int $marks->[0][0], int $marks->[-1][0]);
    my $step = 1 + int(($end - $began) / MOST_ROWS);
    my $names = join '/', @$clusters;
    my @lines = sprintf '%5s  %-14s %-16s %-16s %6s %7s  %s', 'time',
        "pods $names", "weights $names", "share $names", 'failed', 'p99 ms',
        'what happens';
    my @marks = @$marks;
    for (my $at = $began; $at <= $end; $at += $step) {
        my @seconds = grep { $_ } @{$load->{seconds}}{$at .. $at + $step - 1};
        my ($row) = grep { $_ } map { $weights->{$_} }
            reverse $at .. $at + $step - 1;
        my %share;
        for my $second (@seconds) {
            $share{$_} += $second->{clusters}{$_}
                for keys %{$second->{clusters}};
        }
        my $all = sum0(values %share) || 1;
        my @happens;
        push @happens, (shift @marks)->[1]
            while @marks && $marks[0][0] < $at + $step;
        push @lines, sprintf '%4ds  %-14s %-16s %-16s %6d %7.1f  %s',
            $at - $began,
            join('/', map { $row->{$_}[0] // '-' } @$clusters),
            join('/', map { $row->{$_}[1] // '-' } @$clusters),
            join('/', map { sprintf '%.1f%%', 100 * ($share{$_} // 0) / $all }
                @$clusters),
            sum0(map { scalar @{$_->{failed}} } @seconds),
            max(0, map { $_->{p99} // 0 } @seconds), join('; ', @happens);
    }
    s/ +\z// for @lines;
    return @lines;
}

sub sums {
    my ($load, $verdict, $rate, $memory) = @_;
    my $ages = $verdict->{ages};
    return (
        "$load->{requests} requests, $rate a second wanted; of "
            . @{$load->{failed}} . " the answer was not 200"
            . ($load->{retried} ? "; $load->{retried} were sent again on a new"
                . ' connection' : ''),
        sprintf('%d weights compared: %d are of at most 1 s before, %d were '
            . 'held back by the guard%s%s; the oracle was up to %.2f s late',
            @$verdict{qw(comparisons current held)},
            $verdict->{away} ? ", $verdict->{away} were of before the API was"
                . ' away' : '',
            $verdict->{overridden}
                ? "; $verdict->{overridden} lines were under a rule" : '',
            $verdict->{late}),
        @$ages ? sprintf('of the past were %d: half of them at most %.2f s old,'
            . ' the oldest %.2f s', scalar @$ages, $ages->[@$ages / 2],
            $ages->[-1]) : (),
        "memory of all: $memory MB");
}

sub failure {
    my ($failed) = @_;
    return sprintf '%.3f: %s: %s after %.3f s %s', $failed->{at},
        @$failed{qw(app status)}, $failed->{at} - $failed->{sent},
        $failed->{body} =~ s/\s+\z//r;
}

1;
