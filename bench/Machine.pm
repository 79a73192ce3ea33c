package Machine;

# Where a benchmark was run, for the line above its table.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(machine);

sub machine {
    open my $f, '<', '/proc/cpuinfo' or return 'unknown machine';
    my @models = map { /^model name\s*:\s*(.*)/ ? $1 : () } <$f>;
    my ($load) = do { open my $l, '<', '/proc/loadavg'; split ' ', <$l> };
    return scalar(@models) . " cores of $models[0], load $load";
}

1;
