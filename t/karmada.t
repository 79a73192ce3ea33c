#!/usr/bin/perl

# Member clusters that are counted by the ResourceBindings of their Karmada
# control plane: one list and watch for all, and what it has of a member that it
# does not hear changes nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Karmada;
use JSON::Validator;
use Test::More;

my $t = DynamicWeight->new;
my $karmada = DynamicWeight::Karmada->new($t, 'KARMADA');
my $api = $karmada->api;
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
$bj->nodes('127.0.0.11', '127.0.0.12');
$karmada->join($bj, 'bj');
$karmada->join($sh, 'sh-1');
$karmada->binding('orders', bj => [6, 8], 'sh-1' => [4, 4]);
$karmada->binding('users', bj => [2, 2]);
$t->start_backends;

my $line = 'port=%%BACKEND%%';
$t->conf(http => <<"EOF2");
    dynamic_weight_zone main:2m state=%%DIR%%/state/main.json;
    dynamic_weight_cluster karmada {
        api  %%KARMADA%%;
    }
    dynamic_weight_cluster bj {
        via            karmada;
        member         bj;
        ingress_nodes  nodes=role=ingress;
        guard          confirm=1s;
    }
    dynamic_weight_cluster sh {
        via            karmada;
        member         sh-1;
        ingress_nodes  addresses=127.0.0.21;
        guard          confirm=1s;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj binding=prod/orders-deployment $line;
        ingress_nodes  sh binding=prod/orders-deployment $line;
    }
    upstream users {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj binding=prod/users-deployment $line;
    }
@{[$t->edge_server('orders')]}
EOF2
ok($t->start, 'nginx starts');

sub watch { return $t->status->{clusters}{$_[0]}{watch} }
sub up { return $t->status->{clusters}{$_[0]}{up} ? 1 : 0 }
sub weights_are {
    my ($bj_pods, $sh_pods, $what) = @_;
    ok($t->wait_weights('orders', { '127.0.0.1' => 10, '127.0.0.21' =>
        ($sh_pods * 10 || 1), map { $_ => ($bj_pods * 5 || 1) } '127.0.0.11',
        '127.0.0.12' }), $what);
}
# Once the edge has seen what was said of sh after it, it has seen what was said
# of bj, which must have changed nothing.
my $sign = 4;
sub binding_with_sign {
    my (%of_bj) = @_;
    $sign++;
    $karmada->binding('orders', %of_bj, 'sh-1' => [$sign, $sign]);
    return $sign;
}

weights_are(6, 4, 'each member has what its binding says of it');
ok($t->wait_weights('users', { '127.0.0.1' => 10, '127.0.0.11' => 10,
    '127.0.0.12' => 10 }), 'of each binding');
wait_ok { $karmada->asked->{open} == 2 } 'watches are open';
is_deeply($karmada->asked, {
    open             => 2,
    resourcebindings => { lists => 1, watches => 1 },
    clusters         => { lists => 1, watches => 1 },
}, 'by one list and watch of each, for all members and bindings');
# One that lists, kept, and one that watches; one of the nodes of bj; this.
cmp_ok($api->requests->{open_connections}, '<=', 6, 'on few connections');
is(scalar(grep { !/_fake/ } @{$sh->requests->{recent}}), 0,
    'and sh itself is not asked');
like(watch('bj')->{api}, qr{/clusters/bj/proxy$}, 'the status says how');
ok(up('karmada') && up('bj') && up('sh'), 'all are up');
like(http_get($t->port, '/dw/ready')->{body}, qr/"ready":true/, 'ready');
my $schema = JSON::Validator->new->schema(
    "file://$DynamicWeight::root/conf.d/status.schema.json")->schema;
is(join(', ', $schema->validate($t->status)), '', 'as the schema has it');

# ---- Changes.

$karmada->binding('orders', bj => [9, 9], 'sh-1' => [4, 4]);
weights_are(9, 4, 'an event counts');
$karmada->binding('orders', bj => [9, 9], 'sh-1' => [0, 0]);
weights_are(9, 0, 'readyReplicas that is absent is 0, here on purpose');
$karmada->binding('orders', bj => [9, 9], 'sh-1' => [4, 4]);
weights_are(9, 4, 'and back');
$karmada->binding('orders', bj => [9, 9], 'sh-1' => [0, 4]);
wait_ok { watch('sh')->{held_back} } 'lost otherwise it is held back';
weights_are(9, 0, 'until a list says it again');
is($karmada->asked->{resourcebindings}{lists}, 2, 'one list of bindings');
is($karmada->asked->{clusters}{lists}, 1, 'none of clusters');

# ---- A member that hangs: its status is frozen.

$karmada->binding('orders', bj => [9, 9], 'sh-1' => [4, 4]);
weights_are(9, 4, 'before');
$karmada->hears('bj', 0);
wait_ok { !up('bj') } 'Karmada does not hear bj';
like(watch('bj')->{last_error}, qr/^Karmada does not hear member cluster "bj" \(ClusterNotReachable: cluster is not reachable\)/,
    'the status says why');
ok(up('sh') && up('karmada'), 'sh and the control plane are well');
like($t->log, qr/cluster "bj": Karmada does not hear member cluster "bj".*weights hold/,
    'the log says so');
weights_are(9, binding_with_sign(bj => [30, 30]), 'more pods do not count');
weights_are(9, binding_with_sign(bj => [1, 9]), 'fewer neither');
weights_are(9, binding_with_sign(), 'nor none');
weights_are(9, binding_with_sign(bj => [0, 0]), 'nor 0');

ok($t->reload, 'a reload');
wait_ok { !up('bj') && watch('sh')->{synced} } 'finds it hung';
weights_are(9, binding_with_sign(bj => [2, 9]), 'and holds across it');
ok($t->stop('QUIT'), 'nginx ends');
ok($t->start, 'and starts');
wait_ok { !up('bj') && watch('sh')->{synced} } 'finds it hung';
weights_are(9, binding_with_sign(bj => [3, 9]), 'and holds by the state file');

$karmada->hears('bj', 1);
wait_ok { up('bj') } 'it is heard again';
weights_are(3, $sign, 'what is said of it counts, when the guard has it confirmed');
like($t->log, qr/cluster "bj": via karmada: works again/, 'the log says so');

# ---- A member that is absent is not 0.

weights_are(3, binding_with_sign(), 'no status of bj: held');
wait_ok { grep { /^binding=prod\/orders-deployment: pods: the ResourceBinding has no status of member cluster "bj".*the last 3 hold/ }
    @{watch('bj')->{warnings}} } 'with a warning';
weights_are(3, binding_with_sign(bj => 7), 'planned alone is none');
weights_are(8, binding_with_sign(bj => [8, 8]), 'a status counts');
ok(!@{watch('bj')->{warnings}}, 'no warning');
$api->call(DELETE => 'objects', { kind => 'ResourceBinding',
    namespace => 'prod', name => 'orders-deployment' });
wait_ok { grep { /no ResourceBinding orders-deployment in prod/ }
    @{watch('bj')->{warnings}} } 'a binding that is gone is told';
weights_are(8, $sign, 'and changes nothing');
weights_are(9, binding_with_sign(bj => [9, 9]), 'one that is back counts');

# ---- A member that is unjoined.

$karmada->unjoin('bj');
wait_ok { watch('bj')->{last_error} =~ /^Karmada has no member cluster "bj"/ }
    'unjoined: told';
weights_are(9, binding_with_sign(bj => [1, 9]), 'and held');
$karmada->hears('bj', 1);
weights_are(7, binding_with_sign(bj => [7, 9]), 'joined again: counted');

# ---- What the control plane refuses, or can't say.

my @bindings = (path_prefix => DynamicWeight::Karmada::BINDINGS);
my @clusters = (path_prefix => DynamicWeight::Karmada::CLUSTERS);
$t->allow(qr/HTTP 403/);
$api->fault('status', code => 403, @bindings);
$api->call(DELETE => 'connections');
wait_ok { watch('karmada')->{last_error} =~ /resourcebindings: HTTP 403: the token may not/ }
    'bindings are refused';
wait_ok { watch($_)->{last_error} =~ /cluster "karmada", via which it is counted, fails/ }
    "which $_ tells as well" for 'bj', 'sh';
weights_are(7, $sign, 'weights hold');
$api->heal;
wait_ok { up('karmada') && up('bj') && up('sh') } 'they are not any more';
weights_are(6, binding_with_sign(bj => [6, 8]), 'what is said counts');

my $before = $sign;
$api->fault('status', code => 403, @clusters);
$api->call(DELETE => 'connections');
wait_ok { !up('bj') && !up('sh') } 'clusters are refused';
like(watch('karmada')->{last_error}, qr/clusters: HTTP 403/, 'which is told');
my $events = watch('karmada')->{events};
binding_with_sign(bj => [12, 12]);
wait_ok { watch('karmada')->{events} > $events } 'bindings are read';
weights_are(6, $before, 'nobody knows how old they are: weights hold');
$api->heal;
weights_are(12, $sign, 'until somebody does');

# ---- The control plane restarts: versions are gone.

$api->fault('watch_error', code => 410, times => 2);
$api->call(POST => 'compact');
$api->call(DELETE => 'connections');
weights_are(11, binding_with_sign(bj => [11, 12]), '410: listed again');
$api->stop;
wait_ok { !up('karmada') && !up('bj') && !up('sh') } 'it is away';
weights_are(11, $sign, 'weights hold');
$api->{content}{'binding orders'}[2]{status}{aggregatedStatus}
    = [DynamicWeight::Karmada::status_of('bj', 10, 12),
       DynamicWeight::Karmada::status_of('sh-1', 30, 30)];
$api->start;
weights_are(10, 30, 'and is back');
wait_ok { up('karmada') && up('bj') && up('sh') } 'all are up';

# ---- Nothing was known of a member that is not heard.

ok($t->stop('QUIT'), 'nginx ends');
unlink $t->dir . '/state/main.json';
$karmada->hears('bj', 0);
ok($t->start, 'and starts, without a state');
ok($t->wait_weights('orders', { '127.0.0.1' => 10, '127.0.0.21' => 300 }),
    'what is said of others counts');
like(http_get($t->port, '/dw/ready')->{body},
    qr/"ready":false,"waiting_for":\["bj"\]/, 'ready waits for it');
$karmada->hears('bj', 1);
weights_are(10, 30, 'until it is heard');
like(http_get($t->port, '/dw/ready')->{body}, qr/"ready":true/, 'ready');

$t->done;
