#!/usr/bin/perl

# Reloads, restarts and kills: the weights are never lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new(workers => 4);
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 100);
$bj->nodes('127.0.0.11', '127.0.0.12');

my $http = <<"EOF" . $t->edge_server('orders');
    dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       200ms;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
        keepalive      16;
    }
EOF

$t->start_backends;
$t->conf(http => $http);
ok($t->start, 'nginx starts');

my %weights = ('127.0.0.1' => 10, '127.0.0.11' => 500, '127.0.0.12' => 500);
ok($t->wait_weights('orders', \%weights), 'weights far from the configured');

# Ten reloads under load. The API is down: a new cycle has only what it was
# handed. With a KVM at 10 of 1010 its share tells a worker that started
# without: it would get every request, or a third.

$bj->stop;
wait_ok { $t->log =~ /\[error\].*bj/ } 'the API is down';
$t->start_load(3);
my $mark = $t->mark;
for (1 .. 10) {
    ok($t->reload, 'reload');
    is_deeply($t->weights('orders'), \%weights, 'the weights at once');
    my $from = $t->mark;
    wait_for { $t->backend_requests($from) > 300 } 'requests';
}
my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));
my @requests = $t->backend_requests($mark);
my $kvm = grep { $_->[0] eq '127.0.0.1' } @requests;
my $total = @requests;
cmp_ok(abs($kvm - $total * 10 / 1010), '<=', 4 + 11 * 3,
    "the KVM got $kvm of $total requests: no worker served otherwise");
wait_ok { !$t->old_workers } 'no old worker is left';

# kill -9 of worker 0.

$bj->start;
wait_ok { !$t->status->{clusters}{bj}{watch}{failing_since} } 'the API is back';
$t->allow('worker process \d+ exited on signal 9');
$t->start_load(2);
my $victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'worker 0 is started again';
is_deeply($t->weights('orders'), \%weights, 'the weights stay');
$bj->app('prod', 'orders', 120);
%weights = ('127.0.0.1' => 10, '127.0.0.11' => 600, '127.0.0.12' => 600);
ok($t->wait_weights('orders', \%weights, 3), 'and follow within 3 s');
$load = $t->stop_load;
cmp_ok($load->{statuses}{broken} // 0, '<=', 2,
    'only what the dead worker held is broken') or diag(explain($load));
is($load->{statuses}{502} // 0, 0, 'no request was refused');

# Stop, and start with the API down: the state file.

wait_ok { $t->read_file('state/main.json') =~ /"pods":120\b/ } 'the state file is written';
$bj->stop;
ok($t->stop, 'stopped');
ok($t->start, 'started with the API down');
is_deeply($t->weights('orders'), \%weights, 'the weights at once');
is(http_get($t->port, '/dw/ready')->{status}, 200, 'ready');
$bj->start;
$bj->app('prod', 'orders', 140);
%weights = ('127.0.0.1' => 10, '127.0.0.11' => 700, '127.0.0.12' => 700);
ok($t->wait_weights('orders', \%weights, 15), 'and follow again');

# A newer configuration wins over the state file.

ok($t->stop, 'stopped');
$bj->stop;
$t->conf(http => $http =~ s/server  /dynamic_weight_base 1; server 127.0.0.2:%%BACKEND%% weight=3; server/r);
ok($t->start, 'started with a newer configuration');
is_deeply($t->weights('orders'), {'127.0.0.1' => 1, '127.0.0.2' => 3,
    '127.0.0.11' => 70, '127.0.0.12' => 70}, 'base and servers are the newer');
ok($t->stop, 'stopped');
$t->conf(http => $http =~ s/nodes=role=ingress/addresses=127.0.0.99/r);
ok($t->start, 'started with other nodes');
is_deeply($t->weights('orders'), {'127.0.0.1' => 10, '127.0.0.99' => 1400},
    'the configured nodes, the held pods');
ok($t->stop, 'stopped');

# State files that are no good.

my %bad = (
    corrupt => '{"format":1,"clus', foreign => '{"hello":"world"}',
    empty => '', older => '{"format":0,"clusters":[]}',
);
for my $name (sort keys %bad) {
    $t->write_file('state/main.json', $bad{$name});
    $t->conf(http => $http);
    ok($t->start, "started with a state file that is $name");
    is_deeply($t->weights('orders'), {'127.0.0.1' => 10}, 'KVMs serve');
    is(http_get($t->port, '/dw/ready')->{status}, 503, 'not ready');
    ok($t->stop, 'stopped');
    like($t->log, qr/state file is skipped: .*main\.json/, 'it is told');
    $t->write_file('error.log', '');
}

# The thread ends at once, also in a transfer that hangs.

$bj->start;
for my $signal ('QUIT', 'TERM') {
    $bj->fault('hang');
    ok($t->start, 'started with an API that hangs');
    wait_for { $t->worker0 } 'worker 0';
    my $begin = time;
    ok($t->stop($signal), "$signal ends it");
    cmp_ok(time - $begin, '<=', 5, 'soon');
}

# Without a master nginx can't reload: it is refused, and all goes on.

$bj->heal;
$t->{workers} = 0;
$t->conf(main => 'master_process off;', http => $http);
$t->allow('can\'t be reloaded with "master_process off"');
ok($t->start, 'started without a master');
ok($t->wait_weights('orders', \%weights), 'the weights follow');
$t->signal('HUP');
wait_ok { $t->log =~ /can't be reloaded/ } 'a reload is refused';
is(http_get($t->port, '/')->{status}, 200, 'and requests are served');
is_deeply($t->weights('orders'), \%weights, 'with the weights');
$bj->app('prod', 'orders', 160);
%weights = ('127.0.0.1' => 10, '127.0.0.11' => 800, '127.0.0.12' => 800);
ok($t->wait_weights('orders', \%weights), 'which are followed still');
ok($t->stop, 'stopped');

$t->done;
