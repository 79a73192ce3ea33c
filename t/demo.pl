#!/usr/bin/perl

# The demo: two clusters, two VMs and an edge under constant load. After each
# change in the clusters: who should get which share of the requests, and who
# got it. Exit status 0 when every share is within 1 % and nothing failed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Time::HiRes qw(sleep);

# Test::More is the library's; here nobody counts.
Test::More->builder->no_ending(1);
Test::More->builder->no_header(1);

my %flag = map { $_ => 1 } @ARGV;
die "usage: ./demo [--once] [--real]\n"
    if grep { !/^--(once|real)$/ } keys %flag;

$| = 1;
my $t = DynamicWeight->new(workers => 2);
my $make = $flag{'--real'} ? 'kube_cluster' : 'fake_cluster';
my %cluster = map { $_ => $t->$make($_) } 'A', 'B';

my %pods  = (A => 12, B => 7);
my %nodes = (A => [map "127.0.0.$_", 11 .. 13],
             B => [map "127.0.0.$_", 21 .. 22]);
my @kvms  = ('127.0.0.1', '127.0.0.2');

sub apply {
    my ($name) = @_;
    $cluster{$name}->app('prod', 'orders', $pods{$name});
    $cluster{$name}->nodes(@{$nodes{$name}});
}
apply($_) for 'A', 'B';

my $trust = sub { $flag{'--real'} ? <<"EOF" : '' };
        token_file     %%$_[0]_TOKEN%%;
        ca_file        %%$_[0]_CA%%;
EOF
$t->start_backends;
$t->conf(http => join('', map { <<"EOF" } 'A', 'B')
    dynamic_weight_cluster $_ {
        api            %%$_%%;
@{[$trust->($_)]}        ingress_nodes  nodes=role=ingress;
        guard          drop=50% confirm=1s;
    }
EOF
    . <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%%;
        ingress_nodes  A service=prod/orders port=%%BACKEND%% empty=drain;
        ingress_nodes  B service=prod/orders port=%%BACKEND%% empty=drain;
        keepalive      32;
    }
EOF
$t->start or die "nginx does not start\n";

my $page = "http://127.0.0.1:$t->{port}/dw/";
print "the page: $page   as JSON: ${page}status\n";

sub weight {
    my ($name) = @_;
    my $n = @{$nodes{$name}};
    return 0 if !$n || !$pods{$name};
    my $weight = int($pods{$name} * 10 / $n);
    return $weight || 1;
}

my $bad = 0;
my $failed = 0;    # requests, at the last row

# Waits for the weights, then measures a window of requests. The load goes on
# all the time: what fails while the weights change counts, too.
sub show {
    my ($what) = @_;
    my %weight = map { ($_ => 10) } @kvms;
    for my $name ('A', 'B') {
        my $w = weight($name) or next;
        $weight{$_} = $w for @{$nodes{$name}};
    }
    # A drained application keeps its nodes, at weight 0, in the status.
    my $arrived = wait_for {
        my $now = $t->weights('orders');
        !grep { ($now->{$_} // 0) != ($weight{$_} // 0) }
            keys %$now, keys %weight
    } 'the weights', 60;
    print "\n$what\n";
    if (!$arrived) {
        print "  the weights did not follow\n";
        $bad++;
        return;
    }
    my $mark = $t->mark;
    wait_for { $t->mark - $mark > 12000 * 15 } 'requests', 120;
    my $count = $t->backend_counts($mark);
    my $load = $t->load_so_far;
    my $new_failures = $load->{failed} - $failed;
    $failed = $load->{failed};
    my ($total, $sum) = (0, 0);
    $total += $_ for values %weight;
    $sum   += $_ for values %$count;

    printf "  %-8s %5s %6s %7s %9s %9s %7s\n", 'cluster', 'pods', 'nodes',
        'weight', 'expected', 'observed', 'failed';
    for my $row (['A', @{$nodes{A}}], ['B', @{$nodes{B}}], ['VMs', @kvms]) {
        my ($name, @addresses) = @$row;
        my ($expected, $observed) = (0, 0);
        $expected += $weight{$_} // 0 for @addresses;
        $observed += $count->{$_} // 0 for @addresses;
        my $off = $expected
            ? abs($observed / $sum / ($expected / $total) - 1) : $observed;
        my $wrong = $off > 0.01 || $new_failures;
        $bad++ if $wrong;
        printf "  %-8s %5s %6s %7s %8.2f%% %8.2f%% %7s%s\n", $name,
            $pods{$name} // '-', scalar @addresses,
            $name eq 'VMs' ? 10 : weight($name),
            100 * $expected / $total, 100 * $observed / $sum,
            $new_failures, $wrong ? '  WRONG' : '';
    }
    printf "  %d requests\n", $sum;
}

$t->start_load(2);
show('The start: 12 pods on 3 ingress nodes, 7 pods on 2, two VMs');
$pods{A} = 30; apply('A');
show('A scales up to 30 pods');
$nodes{A} = [map "127.0.0.$_", 11 .. 14]; apply('A');
show('An ingress node joins A');
$pods{A} = 18; apply('A');
show('A scales down to 18 pods');
$nodes{A} = ['127.0.0.11', '127.0.0.12', '127.0.0.14']; apply('A');
show('An ingress node leaves A');
$pods{A} = 0; $pods{B} = 25; apply('B'); apply('A');
show('The application moves from A to B');
$flag{'--real'} ? $cluster{B}->stop_apiserver('KILL') : $cluster{B}->stop;
wait_for { $t->status->{clusters}{B}{watch}{failing_since} } 'the failure', 60;
show("B's API is down: its weights hold");
$cluster{B}->start;
$pods{A} = 12; apply('A'); $pods{B} = 7; apply('B');
show('B\'s API is back, the application in both clusters');

my $load = $t->stop_load;
$bad++ if $load->{failed};
print "\n", ($bad ? 'WRONG, see above' : 'every share within 1 % of expected'),
    "; of $load->{requests} requests $load->{failed} failed\n";
my @alarming = $t->alarming;
print "in the log: $_\n" for @alarming;

if (!$flag{'--once'}) {
    print "\nThe edge goes on: $page (Ctrl-C ends it)\n";
    local $SIG{INT} = sub { exit 0 };
    sleep 1 while $t->master;
}
$t->stop;
exit($bad || @alarming ? 1 : 0);
