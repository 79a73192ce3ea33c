#!/usr/bin/perl

# Kill -9 of random workers under load with 8,000 peers, and reloads under load
# while nodes come and go. TEST_SOAK_KILLS and TEST_SOAK_RELOADS say how many;
# bench/kill shows nginx's own round robin beside it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use List::Util qw(sum max);
use Test::More;

my $kills   = $ENV{TEST_SOAK_KILLS}   // 30;
my $reloads = $ENV{TEST_SOAK_RELOADS} // 12;
my $peers   = 8000;

my $t = DynamicWeight->new(workers => 4);
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 60);
$bj->nodes(map { "127.0.0.$_" } 11 .. 14);
$t->start_backends;
$t->allow('worker process \d+ exited on signal 9');

my $servers = join '', map {
    sprintf "server 127.1.%d.%d:%%%%BACKEND%%%%;\n", $_ >> 8, $_ & 255
} 1 .. $peers;

my $http = <<"EOF" . $t->edge_server('orders');
    dynamic_weight_zone main:16m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream orders {
        dynamic_weight METHOD;
        SERVERS
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
    }
EOF

# All workers serve; none spins once the load is over.
sub healthy {
    my ($name) = @_;
    my %serves;
    wait_ok {
        my $answer = http_get($t->port, '/', timeout => 5) or return;
        my ($pid) = $answer->{headers} =~ /^X-Worker: (\d+)/m;
        $serves{$pid} = 1;
        !grep { !$serves{$_} } $t->workers
    } "$name: every worker serves";
    ok($t->idles($_), "$name: a worker idles") for $t->workers;
    wait_ok {
        sum(map { $_->{active} } @{$t->status->{upstreams}{orders}{peers}}) == 0
    } "$name: no connection is counted";
}

# ---- Kills.

for my $method ('', 'least_conn', 'hash $request_id') {
    my $config = $http =~ s/ METHOD/ $method/r;
    $config =~ s/SERVERS/$servers/;
    $t->conf(http => $config);
    ok($method eq '' ? $t->start : $t->reload, "nginx with \"$method\"");
    my $load = $t->start_load(3);
    for (1 .. $kills / 3) {
        my @workers = $t->workers;
        my $victim = $workers[rand @workers];
        kill KILL => $victim;
        wait_for {
            my @now = $t->workers;
            @now >= 4 && !grep { $_ == $victim } @now
        } 'the worker to be started again' or last;
    }
    $load = $t->stop_load;
    cmp_ok($load->{requests}, '>', 0, "$load->{requests} requests meanwhile");
    is($load->{statuses}{502} // 0, 0, 'none was refused');
    healthy("after kills, \"$method\"");
}

# ---- Reloads, with nodes coming and going between them.

my $small = $http =~ s/ METHOD//r =~ s/SERVERS/server 127.0.0.1:%%BACKEND%%;/r;
$t->conf(http => $small);
ok($t->reload, 'a small upstream');
wait_ok { !$t->old_workers } 'the previous workers end';

# Resident memory of the master and of the largest worker, in KB.
sub memory {
    my $rss = sub {
        open my $f, '<', "/proc/$_[0]/status" or return 0;
        return (join '', <$f>) =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
    };
    return ($rss->($t->master), max(map { $rss->($_) } $t->workers));
}

my @memory;
$t->start_load(2);
for my $n (1 .. $reloads) {
    my @nodes = map { "127.0.0.$_" } 11 .. 12 + $n % 4;
    $bj->nodes(@nodes);
    ok($t->reload, "reload $n");
    my $weight = int(600 / @nodes);
    ok($t->wait_weights('orders', { '127.0.0.1' => 10,
        map { $_ => $weight } @nodes }), 'the weights follow');
    @memory = memory() if $n == int($reloads / 2);
}
my $load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed")
    or diag(explain($load));
wait_ok { !$t->old_workers } 'no old worker is left';
unless ($ENV{TEST_NGINX_SANITIZE}) {
    my @now = memory();
    cmp_ok($now[$_], '<=', $memory[$_] * 1.1 + 1024,
        (qw(master worker))[$_] . ' does not grow') for 0, 1;
}
healthy('after reloads');

$t->done;
