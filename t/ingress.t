#!/usr/bin/perl

# Lines that need an Ingress: once it is deleted the ingress nodes answer 404,
# whatever pods are left behind them, so that the line counts none. Whatever
# may not be true changes nothing.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Browser;
use JSON::Validator;
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
my $line = 'service=prod/orders port=%%BACKEND%%';

sub ingress {
    my ($cluster, $there) = @_;
    my %id = (kind => 'Ingress', namespace => 'prod', name => 'orders');
    return $cluster->put('ingress', POST => 'objects', {
        kind => 'Ingress', apiVersion => 'networking.k8s.io/v1',
        metadata => { namespace => 'prod', name => 'orders' } }) if $there;
    delete $cluster->{content}{ingress};
    return $cluster->call(DELETE => 'objects', \%id);
}

for my $cluster ($bj, $sh) {
    $cluster->app('prod', 'orders', 6);
    ingress($cluster, 1);
}
$bj->nodes('127.0.0.11', '127.0.0.12');
$sh->nodes('127.0.0.21');
$t->start_backends;

sub conf {
    my (%what) = @_;
    $t->conf(http => join('', map { <<"EOF" } 'bj', 'sh') . <<"EOF2");
    dynamic_weight_cluster $_ {
        api            %%@{[uc]}%%;
        ingress_nodes  nodes=role=ingress;
        guard          confirm=1s;
    }
EOF
    dynamic_weight_zone main:2m state=%%DIR%%/state/main.json;
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj $line @{[$what{bj} // 'ingress=prod/orders']} empty=drain;
        ingress_nodes  sh $line;
    }
    upstream keep {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj $line ingress=prod/orders;
    }
@{[$t->edge_server('orders')]}
EOF2
}
conf();
ok($t->start, 'nginx starts');

my %others = ('127.0.0.1' => 10, '127.0.0.21' => 60);
my %all = (%others, '127.0.0.11' => 30, '127.0.0.12' => 30);
sub line {
    my ($upstream) = @_;
    return $t->status->{upstreams}{$upstream // 'orders'}{clusters}[0];
}
sub watch { return $t->status->{clusters}{bj}{watch} }

ok($t->wait_weights('orders', \%all), 'an Ingress is there: its pods count');
# Pods that are known before the Ingress is make the same weight.
wait_ok { !line()->{provisional} } 'nothing is provisional any more';
is_deeply([@{line()}{qw(ingress no_ingress pods)}],
    ['ingress=prod/orders', JSON::PP::false, 6],
    'the status shows what the line needs');

# ---- It goes, under load: nobody is sent there any more.

my $browser = DynamicWeight::Browser->new($t);
$browser->open('http://127.0.0.1:' . $t->port . '/dw/');
sub page { return $browser->value('document.body.innerText') }
wait_ok { page() =~ /6 pods × 10 ÷ 2 nodes/ } 'the page has its pods';
$t->start_load(2);
my $listed = watch()->{lists};
ingress($bj, 0);
ok($t->wait_weights('orders', \%others), 'deleted: no request');
is(watch()->{lists}, $listed, 'without a list');
my $mark = $t->mark;
wait_ok { $t->backend_requests($mark) > 100 } 'requests';
my $counts = $t->backend_counts($mark);
ok(!$counts->{'127.0.0.11'} && !$counts->{'127.0.0.12'}, 'none goes there');
is($t->weights('keep')->{'127.0.0.11'}, 1, 'empty=keep: the least weight');
is_deeply([@{line()}{qw(no_ingress pods weight)}], [JSON::PP::true, 0, 0],
    'the status says so');
like(line()->{reason}, qr/^no ingress=prod\/orders, its pods don't count/,
    'with the reason');
like(http_get($t->port, '/dw/')->{body}, qr/no ingress=prod\/orders/,
    'so does the page');
wait_ok { page() =~ /0 pods × 10 ÷ 2 nodes · no ingress=prod\/orders/ }
    'also one that is open';
wait_ok { page() =~ /ingress=prod\/orders: no object orders in prod/ }
    'which has the warning, too';
$browser->stop;
ok((grep { /^ingress=prod\/orders: no object orders in prod/ }
    @{watch()->{warnings}}), 'and a warning');
like($t->log, qr/pods 6 -> 0, nodes 2, no ingress=prod\/orders/,
    'the log tells of it');
my $schema = JSON::Validator->new->schema(
    "file://$DynamicWeight::root/conf.d/status.schema.json")->schema;
is(join(', ', $schema->validate($t->status)), '', 'as the schema has it');

my $load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed")
    or diag(explain($load));

# ---- It stays away over reloads, restarts and silence of the API.

ok($t->reload, 'a reload');
is_deeply($t->weights('orders'), \%others, 'changes nothing');
$bj->stop;
ok($t->stop('QUIT'), 'nginx ends');
ok($t->start, 'and starts with the API down');
ok($t->wait_weights('orders', \%others), 'which it knew before');

# ---- And is back.

$bj->start;
wait_ok { watch()->{synced} } 'the API is back';
is_deeply($t->weights('orders'), \%others, 'still none');
ingress($bj, 1);
ok($t->wait_weights('orders', \%all), 'an Ingress again: its pods count');
wait_ok { !@{watch()->{warnings}} } 'no warning';

# ---- A list that lacks it must be confirmed.

my @ingresses = (path_prefix => '/apis/networking.k8s.io', times => 1);
$bj->fault('empty_list', @ingresses);
$bj->fault('watch_error', @ingresses);    # 410: a list follows
$bj->call(DELETE => 'connections');
wait_ok { watch()->{held_back} } 'a list without it is held back';
is_deeply($t->weights('orders'), \%all, 'and changes nothing');
wait_ok { line()->{pods} == 6 && $t->log =~ /the drop that was held back has passed/ }
    'the next has it again';
is_deeply($t->weights('orders'), \%all, 'nothing has changed');
$bj->heal;

# ---- Nobody may say: it is taken to be there.

ok($t->stop('QUIT'), 'nginx ends');
unlink $t->dir . '/state/main.json';
$bj->fault('status', code => 403, path_prefix => '/apis/networking.k8s.io');
$t->allow(qr/HTTP 403/);
ok($t->start, 'nginx starts without a right to Ingresses');
ok($t->wait_weights('orders', \%all), 'the pods count');
ok(line()->{provisional}, 'provisionally');
wait_ok { watch()->{last_error} =~ /HTTP 403: the token may not list ingresses/ }
    'and the error is told';
ingress($bj, 0);
$bj->heal;
ok($t->wait_weights('orders', \%others), 'until somebody says');

# ---- Not needed any more, it does not matter.

conf(bj => '');
ok($t->reload, 'a line without it');
ok($t->wait_weights('orders', \%all), 'counts its pods');

$t->done;
