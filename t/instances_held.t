#!/usr/bin/perl

# Pods as peers outlive what weights outlive: a reload, a killed worker, a
# restart, an API that is down; and tuning knows them by address, port and name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Pods;
use Test::More;

my $t = DynamicWeight->new(workers => 2);
my $bj = $t->fake_cluster('BJ');
my $orders = DynamicWeight::Pods->new($bj, 'prod', 'orders', size => 2,
    ports => { http => $t->{backend} });
$orders->set(map "127.7.0.$_", 1 .. 5);
$bj->nodes('127.0.0.11');
$bj->app('prod', 'orders-of-nodes', 30);
$t->start_backends;

mkdir "$t->{dir}/conf.d";
sub tune {
    my ($text) = @_;
    $t->write_file('conf.d/tuning.new', $text);
    rename "$t->{dir}/conf.d/tuning.new", "$t->{dir}/conf.d/tuning.json"
        or die "rename: $!\n";
}
tune("{}\n");

sub config {
    my (@lines) = @_;
    return <<"EOC" . $t->edge_server('orders');
    dynamic_weight_zone main:4m state=%%DIR%%/state/main.json;
    dynamic_weight_tuning conf.d/tuning.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          confirm=1s;
        timeout        1s;
    }
    upstream orders {
        dynamic_weight;
        server         127.3.0.1:%%BACKEND%%;
        @lines
    }
EOC
}

my $line = 'instances bj service=prod/orders port=http slots=8;';
$t->conf(http => config($line));
ok($t->start, 'nginx starts');
my %kvm = ('127.3.0.1' => 10);
sub pods { return map { ("127.7.0.$_" => 10) } @_ }
my %all = (%kvm, pods(1 .. 5));
ok($t->wait_weights('orders', \%all), 'five pods in slices of two');

sub peers { @{$t->status->{upstreams}{orders}{peers}} }
sub peer {
    my ($address) = @_;
    return (grep { $_->{server} =~ /^\Q$address\E:/ } peers())[0];
}
sub ids { return { map { $_->{server} => $_->{id} }
    grep { $_->{server} =~ /^127\.7\./ } peers() } }

# ---- Tuning.

tune(qq({ "rules": [
    { "server": "127.7.0.1:$t->{backend}", "drain": true },
    { "server": "127.7.0.2:1", "drain": true },
    { "node": "orders-3", "weight": 70 },
    { "server": "127.7.0.4", "scale": 0.5 } ] }\n));
ok($t->wait_weights('orders', { %kvm, pods(2, 5), '127.7.0.3' => 70,
    '127.7.0.4' => 5 }), 'drained by address and port, pinned by name, scaled');
my ($line_of) = @{$t->status->{upstreams}{orders}{clusters}};
is_deeply([@$line_of{qw(pods drained_nodes used_nodes)}], [5, 1, 4],
    'the line knows of the one that is drained');
is(peer('127.7.0.3')->{tuning}{weight}, 70, 'the peer names its rule');

tune(qq({ "rules": [ { "cluster": "bj", "freeze": true } ] }\n));
ok($t->wait_weights('orders', \%all), 'frozen as they are');
$orders->remove('127.7.0.5');
$orders->add('127.7.0.6');
wait_ok {
    my $known = $t->status->{clusters}{bj}{view}{instances};
    grep { $_->{address} eq '127.7.0.6' }
        map { @{$_->{instances}} } values %$known
} 'another pod is known';
is_deeply($t->weights('orders'), \%all, 'and has no peer while all is frozen');
my $ids = ids();
ok($t->reload, 'reload');
is_deeply($t->weights('orders'), \%all, 'what is frozen stays, over a reload');
is_deeply(ids(), $ids, 'each in its slot');
$t->allow('worker process \d+ exited on signal 9');
my $victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'worker 0 was killed and is back';
wait_ok { $t->status->{clusters}{bj}{watch}{synced} } 'it has read all again';
is_deeply($t->weights('orders'), \%all, 'and holds what is frozen');
tune("{}\n");
ok($t->wait_weights('orders', { %kvm, pods(1 .. 4, 6) }), 'no longer frozen');
%all = (%kvm, pods(1 .. 4, 6));

# ---- A reload and a killed worker while the API is down.

$t->break_backend('127.7.0.2', 'close');
wait_ok { http_get($t->port, '/'); peer('127.7.0.2')->{state} eq 'unavail' }
    'a pod is taken out';
$bj->stop;
wait_ok { $t->log =~ /\[error\].*bj/ } 'the API is down';
$t->start_load(2);
for (1 .. 3) {
    ok($t->reload, 'reload');
    is_deeply($t->weights('orders'), \%all, 'the weights at once');
    is(peer('127.7.0.2')->{state}, 'unavail', 'what is out stays out');
    is(peer('127.7.0.6')->{node}, 'orders-6', 'by its name');
}
my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));
$t->mend_backend('127.7.0.2');
$victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'worker 0 was killed and is back';
is_deeply($t->weights('orders'), \%all, 'the weights stay');

# ---- A restart: the state file has them.

wait_ok { $t->read_file('state/main.json') =~ /127\.7\.0\.6/ }
    'the state file has them';
ok($t->stop, 'nginx ends');
ok($t->start, 'and starts without an API');
is_deeply($t->weights('orders'), \%all, 'with the weights of the state file');
is(peer('127.7.0.6')->{server}, "127.7.0.6:$t->{backend}", 'at their ports');
is((http_get($t->port, '/dw/ready'))->{status}, 200, 'it is ready');
$bj->start;
wait_ok { $t->status->{clusters}{bj}{watch}{synced} } 'the API is back';
is_deeply($t->weights('orders'), \%all, 'the weights were right');
$orders->add('127.7.0.7');
ok($t->wait_weights('orders', { %all, pods(7) }), 'and follow');
$orders->remove('127.7.0.7');
ok($t->wait_weights('orders', \%all), 'again');

# ---- A line of nodes becomes one of pods, while the API is down: its nodes
# serve until the pods are known. And back.

my $nodes = 'ingress_nodes bj service=prod/orders-of-nodes port=%%BACKEND%%;';
$t->conf(http => config($nodes));
ok($t->reload, 'a line of nodes');
my %nodes = (%kvm, '127.0.0.11' => 300);
ok($t->wait_weights('orders', \%nodes), 'in the stead of the pods');
$bj->stop;
$t->conf(http => config('instances bj service=prod/orders slots=4;'));
ok($t->reload, 'pods whom nobody has told of');
is_deeply($t->weights('orders'), \%nodes, 'the nodes stand in for them');
$bj->start;
wait_ok {
    my $now = $t->weights('orders');
    delete $now->{'127.3.0.1'};
    keys %$now == 4 && !grep { !/^127\.7\./ } keys %$now
} 'four of them have slots when they are known';
wait_ok { $t->log =~ /5 instances serve, but slots=4: only the first 4/ }
    'the log says what to raise';
$t->conf(http => config($line));
ok($t->reload, 'the previous line');
ok($t->wait_weights('orders', \%all), 'and all have');

$t->done;
