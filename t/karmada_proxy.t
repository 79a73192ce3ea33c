#!/usr/bin/perl

# A member cluster by its control plane's proxy: lists and watches as of the
# member itself; a member that hangs and one that there is not are told apart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Karmada;
use Test::More;

my $t = DynamicWeight->new;
my $karmada = DynamicWeight::Karmada->new($t, 'KARMADA');
my $bj = $t->fake_cluster('BJ');
my $old = $t->fake_cluster('OLD', '--kubernetes', 18);
$bj->app('prod', 'orders', 6, deployment => JSON::PP::true);
$bj->nodes('127.0.0.11', '127.0.0.12');
$old->app('prod', 'orders', 3);
$karmada->join($bj, 'bj');
$karmada->join($old, 'old');
$t->start_backends;

my $clusters = '%%KARMADA%%' . DynamicWeight::Karmada::CLUSTERS;
sub cluster {
    my ($name, $nodes, $member) = @_;
    $member //= $name;
    return <<"EOF2";
    dynamic_weight_cluster $name {
        api            $clusters/$member/proxy;
        ingress_nodes  $nodes;
        guard          confirm=1s;
    }
EOF2
}
my $port = 'port=%%BACKEND%%';
$t->conf(http => cluster(bj => 'nodes=role=ingress')
    . cluster(old => 'addresses=127.0.0.31')
    . cluster(typo => 'nodes=role=ingress', 'nosuch') . <<"EOF2");
    dynamic_weight_zone main:2m;
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj deployment=prod/orders $port;
        ingress_nodes  old service=prod/orders $port;
        ingress_nodes  typo service=prod/orders $port;
    }
    upstream rollouts {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj cloneset=prod/orders $port;
    }
@{[$t->edge_server('orders')]}
EOF2
ok($t->start, 'nginx starts');

sub watch { return $t->status->{clusters}{$_[0]}{watch} }
my %others = ('127.0.0.1' => 10, '127.0.0.31' => 30);
sub both { return { %others, map { $_ => $_[0] } '127.0.0.11', '127.0.0.12' } }

ok($t->wait_weights('orders', both(30)), 'pods and nodes by the proxy');
wait_ok { $bj->requests->{open_watches} >= 2 } 'which passes watches on';
$bj->app('prod', 'orders', 8, deployment => JSON::PP::true);
ok($t->wait_weights('orders', both(40)), 'and their events');

# ---- Two kinds of 404.

wait_ok { watch('typo')->{last_error} =~
    m{/clusters/nosuch/proxy/\S+: HTTP 404: no such member cluster: Karmada has no "nosuch"} }
    'a member that there is not is named';
wait_ok { watch('bj')->{last_error} =~
    m{/clusters/bj/proxy/\S+clonesets: HTTP 404: the API server has no clonesets there} }
    'so is a resource that a member lacks';

# ---- A member that hangs.

$bj->fault('hang');
$bj->call(DELETE => 'connections');
wait_ok { watch('bj')->{last_error} =~
    /HTTP 500: member cluster "bj" does not answer Karmada's proxy/ }
    'told as the proxy tells it';
ok($t->status->{clusters}{old}{up}, 'no other member suffers');
is_deeply($t->weights('orders'), both(40), 'weights hold');
$bj->app('prod', 'orders', 9, deployment => JSON::PP::true);
$bj->heal;
ok($t->wait_weights('orders', both(45)), 'until it answers again');

# ---- Unjoined while it is watched.

$karmada->unjoin('bj');
$bj->call(DELETE => 'connections');
wait_ok { watch('bj')->{last_error} =~ /no such member cluster: Karmada has no "bj"/ }
    'unjoined: told';
is_deeply($t->weights('orders'), both(45), 'weights hold');
$karmada->hears('bj', 1);
$bj->app('prod', 'orders', 10, deployment => JSON::PP::true);
ok($t->wait_weights('orders', both(50)), 'until it is joined again');

$t->done;
