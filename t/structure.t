#!/usr/bin/perl

# The plan of the code: which directory may include which, that nothing goes round
# in a circle, and that nothing has grown past what one reads at a time.

use strict;
use warnings;

use FindBin;
use Test::More;

chdir "$FindBin::Bin/.." or die "$!\n";

# A directory includes itself and those before it.
my @order = qw(
    weightcalc
    watcher/text
    watcher/threads
    watcher/files
    watcher/transport
    watcher/discovery
    watcher/kubernetes/protobuf
    watcher/kubernetes
    watcher/karmada
    watcher/nacos
    watcher/config
    watcher/outlier
    watcher/probe
    watcher/state
    watcher/tuning
    watcher
    t/fake_cluster
    watcher/testing
    ngx_module/status
    ngx_module/core
    ngx_module/http
    bench
    t
);
# What tests use, and nothing that is shipped.
my %for_tests = map { $_ => 1 } qw(t/fake_cluster watcher/testing);

use constant {
    MAX_SOURCES        => 25,
    MAX_FILE_LINES     => 500,
    MAX_FUNCTION_LINES => 80,
};

my %level = map { $order[$_] => $_ } 0 .. $#order;
my @files = grep { /\.(?:cc|h|hpp)$/ } split /\n/, `find weightcalc watcher ngx_module t bench -type f | sort`;
cmp_ok(scalar @files, '>', 100, 'the sources are found');
my %is_file = map { $_ => 1 } @files;
my %text = map { $_ => slurp($_) } @files;

sub slurp {
    my ($path) = @_;
    open my $f, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$f>;
}

sub directory { $_[0] =~ m{^(.*)/} ? $1 : '.' }

# A header and what implements it are one.
sub unit { $_[0] =~ s/\.(?:cc|h|hpp)$//r }

sub is_test { $_[0] =~ /(?:_test|_fuzz)\.cc$/ || $for_tests{directory($_[0])}
    || $_[0] =~ m{^(?:t|bench)/} || $_[0] =~ m{_(?:fixture|tester)\.h$} }

# ---- The graph.

my (%uses, @upward, @shipped, @unknown);
for my $file (@files) {
    my $directory = directory($file);
    push @unknown, $directory unless defined $level{$directory};
    for my $name ($text{$file} =~ /^#include "([^"]+)"/mg) {
        my ($used) = grep { $is_file{$_} } $name, "$directory/$name";
        next if !$used;   # nginx's, or a library's
        $uses{unit($file)}{unit($used)} = 1 if unit($file) ne unit($used);
        my $to = directory($used);
        if ($for_tests{$to} && !$for_tests{$directory}) {
            push @shipped, "$file includes $used" unless is_test($file);
        } elsif (!$for_tests{$directory}
            && ($level{$to} // 0) > ($level{$directory} // 0))
        {
            push @upward, "$file includes $used";
        }
    }
}
is(join("\n", @unknown), '', 'every directory has its place in the order');
is(join("\n", @upward), '', 'no directory includes what is above it');
is(join("\n", @shipped), '', 'what is for tests is used by tests alone');

# Depth first; what is met again on the way is a circle.
my (%done, @circles);
sub visit {
    my ($unit, @way) = @_;
    if (my ($from) = grep { $way[$_] eq $unit } 0 .. $#way) {
        push @circles, join ' -> ', @way[$from .. $#way], $unit;
        return;
    }
    return if $done{$unit};
    visit($_, @way, $unit) for sort keys %{$uses{$unit}};
    $done{$unit} = 1;
}
visit($_) for sort keys %uses;
is(join("\n", @circles), '', 'no circle');

# ---- Sizes.

my %sources;
$sources{directory($_)}++ for grep { /\.cc$/ && !/_test\.cc$/ } @files;
my @full = map { "$_ has $sources{$_}" }
    grep { $sources{$_} > MAX_SOURCES } sort keys %sources;
is(join("\n", @full), '', 'no directory of more than ' . MAX_SOURCES . ' sources');

my @scripts = grep { -f && (/\.(?:pm|t|pl)$/ || !m{\.|/fuzz_corpus/}) }
    split /\n/, `find t bench check demo .ci -type f | sort`;
my @long = map { my $n = () = ($text{$_} // slurp($_)) =~ /\n/g;
    $n > MAX_FILE_LINES ? "$_ has $n" : () } @files, @scripts;
is(join("\n", @long), '', 'no file of more than ' . MAX_FILE_LINES . ' lines');

# A function begins at the left margin and ends with a brace there.
my @endless;
for my $file (@files) {
    my ($begin, $name, $candidate) = (0, '');
    my $n = 0;
    for (split /\n/, $text{$file}) {
        $n++;
        if (!$begin) {
            $candidate = $n if /^[A-Za-z_]/ && !/^(?:namespace|class|struct|enum|union|typedef|extern)\b/;
            $name = $1 if /^\S.*?([\w:~]+)\(/ || /^([\w:~]+)\(/;
            $begin = $candidate
                if $candidate && (/\{\s*$/ && !/=\s*\{\s*$/ && !/^\s*(?:namespace|class|struct|enum|union|typedef|extern)\b/);
            $candidate = 0 if /;\s*$/;
        }
        if (/^\}/) {
            my $lines = $n - $begin + 1;
            push @endless, "$file: $name() has $lines"
                if $begin && $lines > MAX_FUNCTION_LINES;
            $begin = $candidate = 0;
        }
    }
}
is(join("\n", @endless), '',
    'no function of more than ' . MAX_FUNCTION_LINES . ' lines');

done_testing;
