package DynamicWeight::Processes;

# The machine's processes as /proc shows them: whose children they are, and
# which belong to a test's directory.

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(children end_all);

sub read_line {
    my ($path) = @_;
    open my $f, '<', $path or return '';
    return <$f> // '';
}

# The living children of a process.
sub children {
    my ($parent) = @_;
    return unless $parent;
    my @pids;
    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($pid, $state, $ppid)
            = read_line($stat) =~ /^(\d+) \(.*\) (\S) (\d+)/ or next;
        push @pids, $pid if $ppid == $parent && $state ne 'Z';
    }
    return @pids;
}

# The processes that name a directory in their command or have a file in it open.
# (nginx's workers have lost both their command and their environment.)
sub users_of {
    my ($dir) = @_;
    my @pids;
    for my $proc (glob '/proc/[0-9]*') {
        my ($pid) = $proc =~ /(\d+)/;
        next if $pid == $$;
        push @pids, $pid
            if index(read_line("$proc/cmdline"), $dir) >= 0
            || grep { index(readlink($_) // '', "$dir/") == 0 }
                glob "$proc/fd/*";
    }
    return @pids;
}

# What still runs, after a while, of this process and of its directories: one line
# each. It is killed.
sub end_all {
    my ($seconds, @dirs) = @_;
    my $end = time + $seconds;
    my %left;
    do {
        sleep 0.02 if %left;
        %left = map { $_ => 1 } children($$), map { users_of($_) } @dirs;
    } while %left && time < $end;

    my @lines = map {
        "$_ " . (read_line("/proc/$_/cmdline") =~ s/\0+/ /gr)
    } sort { $a <=> $b } keys %left;
    kill 'KILL', keys %left;
    return @lines;
}

1;
