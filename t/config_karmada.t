#!/usr/bin/perl

# The configuration of members of a Karmada control plane: what is taken, and what
# each mistake is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
$t->write_file('token', "secret\n");
chmod 0644, "$t->{dir}/token";

my $zone = 'dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;';
my $api = 'api https://127.0.0.1:1; token_file %%DIR%%/token;';
my $plane = "dynamic_weight_cluster karmada { $api }";
my $nodes = 'ingress_nodes addresses=127.0.0.1;';
my $binding = 'ingress_nodes bj binding=prod/orders-deployment port=80;';

sub upstream { "upstream u { dynamic_weight; server 127.0.0.1; @_ }\n" }
sub bj { "dynamic_weight_cluster bj { @_ }\n" }
sub member { "$zone $plane " . bj(@_) . upstream($binding) }
sub line { "$zone $plane " . bj('via karmada; member bj;', $nodes)
    . upstream(@_) }
sub direct { $zone . bj(@_, $nodes)
    . upstream('ingress_nodes bj service=prod/orders port=80;') }

my $clusters = 'https://127.0.0.1:1/apis/cluster.karmada.io/v1alpha1/clusters';

my %good = (
    'a member' => member('via karmada; member bj;', $nodes),
    'whatever the order' => member($nodes, 'member bj; via karmada;'),
    'every directive of a member' => member('type kubernetes; via karmada;',
        'member bj-1.prod; ingress_nodes nodes=role=ingress;',
        'guard drop=30% confirm=2s;'),
    'nodes of its controller' => member('via karmada; member bj;',
        'ingress_nodes service=ingress-nginx/controller;'),
    'other sources, by the proxy' => line(
        'ingress_nodes bj service=prod/orders port=80;',
        'ingress_nodes bj binding=prod/orders-deployment port=80'
            . ' ingress=prod/orders;',
        'instances bj service=prod/pay port=http;'),
    'instances alone' => "$zone $plane " . bj('via karmada; member bj;')
        . upstream('instances bj service=prod/pay;'),
    'two members' => "$zone $plane "
        . bj('via karmada; member bj;', $nodes)
        . "dynamic_weight_cluster sh { via karmada; member sh; $nodes }"
        . upstream($binding,
            'ingress_nodes sh binding=prod/orders-deployment port=80;'),
    'a control plane that polls' => "$zone dynamic_weight_cluster karmada { "
        . "$api mode poll; interval 1s; timeout 20s; }"
        . bj('via karmada; member bj;', $nodes) . upstream($binding),
    'a control plane that is counted, too' => "$zone dynamic_weight_cluster"
        . " karmada { $api $nodes }" . bj('via karmada; member bj;', $nodes)
        . upstream($binding,
            'ingress_nodes karmada deployment=prod/orders port=80;'),
    'the proxy of a member' => direct("api $clusters/bj/proxy;",
        'timeout 15s;'),
    'with its own timeout' => direct("api $clusters/bj/proxy/;"),
);

for my $name (sort keys %good) {
    $t->conf(http => $good{$name});
    my ($status, $said) = $t->test_conf;
    is($status, 0, "taken: $name") or diag($said);
    unlike($said, qr/\[warn\]/, "no warning: $name");
}

my $form = qr{MEMBER/proxy, or "via" and "member"};
my @wrong = (
    ['via without member', member('via karmada;', $nodes),
        qr/cluster "bj" has "via" without "member": write "member NAME;"/],
    ['member without via', member('member bj;', $api, $nodes),
        qr/cluster "bj" has "member" without "via": write "via CLUSTER;"/],
    ['an unknown control plane', member('via karmda; member bj;', $nodes),
        qr/unknown cluster "karmda" in "via" of cluster "bj": define .*correct/],
    ['an empty one', member('via ""; member bj;', $nodes),
        qr/unknown cluster "" in "via"/],
    ['a later one', $zone . bj('via karmada; member bj;', $nodes) . $plane
        . upstream($binding), qr/unknown cluster "karmada".*before this one/],
    ['itself', $zone . bj('via bj; member bj;', $nodes) . upstream($binding),
        qr/unknown cluster "bj" in "via" of cluster "bj".*before this one/],
    ['a registry', "$zone dynamic_weight_cluster vm { type nacos; api "
        . 'http://127.0.0.1:1/nacos; }' . bj('via vm; member bj;', $nodes)
        . upstream($binding), qr/cluster "vm" in "via" of cluster "bj" is a registry/],
    ['a chain', "$zone $plane " . bj('via karmada; member bj;', $nodes)
        . "dynamic_weight_cluster sh { via bj; member sh; $nodes }"
        . upstream($binding), qr/cluster "bj" in "via" of cluster "sh" goes via another one itself/],
    ['a proxy', "$zone dynamic_weight_cluster karmada { api $clusters/a/proxy; }"
        . bj('via karmada; member bj;', $nodes) . upstream($binding),
        qr/has the proxy of a member as its "api"/],
    ['a member that is a registry', member('type nacos; via karmada;',
        'member bj;'), qr/is a registry, which is no member of Karmada/],
    ['a name of no member', member('via karmada; member BJ;', $nodes),
        qr/invalid "member" of cluster "bj": write the name that "kubectl get clusters"/],
    ['a member twice', member('via karmada; member bj; member sh;', $nodes),
        qr/"member" of cluster "bj" is duplicate/],
    (map { ["via and @{[(split ' ', $_)[0]]}",
        member('via karmada; member bj;', $nodes, $_),
        qr/cluster "bj" is asked for as its control plane is: .*"via" names/] }
        'api https://127.0.0.1:1;', 'token_file %%DIR%%/token;',
        'tls_verify off;', 'tls_server_name k;', 'mode poll;', 'interval 1s;',
        'timeout 1s;', 'namespace prod;', 'user edge;'),
    ['no nodes', member('via karmada; member bj;'),
        qr/the cluster does not say where its ingress nodes are/],
    ['a binding without via', direct($api) =~ s/service=/binding=/r,
        qr/"binding=" counts what a Karmada control plane says of a member: write "via CLUSTER; member NAME;"/],
    ['a binding of the control plane itself',
        "$zone dynamic_weight_cluster bj { $api $nodes }" . upstream($binding),
        qr/"binding=" counts what a Karmada control plane says/],
    ['a binding without namespace',
        line('ingress_nodes bj binding=orders port=80;'),
        qr/write binding=NAMESPACE\/NAME/],
    ['a binding of no name', line('ingress_nodes bj binding=prod/O port=80;'),
        qr/"O" names no binding/],
    ['instances of a binding', line('instances bj binding=prod/orders;'),
        qr/is no source of instances/],
    ['nodes of a binding', member('via karmada; member bj;',
        'ingress_nodes binding=prod/orders;'), qr/is no source of ingress nodes/],
    ['the search proxy', direct('api https://127.0.0.1:1/apis/'
        . 'search.karmada.io/v1alpha1/proxying/karmada/proxy;'),
        qr/Karmada's search proxy is not supported: while a member hangs it answers with that member's objects left out.*$form/],
    ['no proxy of a member', direct("api $clusters/bj;"), $form],
    ['more than a proxy', direct("api $clusters/bj/proxy/api/v1;"), $form],
);

for my $case (@wrong) {
    my ($name, $http, $message) = @$case;
    $t->conf(http => $http);
    my ($status, $said) = $t->test_conf;
    isnt($status, 0, "refused: $name");
    like($said, $message, "told: $name");
    like($said, qr/\.conf:\d+/, "place: $name");
}

# A kubeconfig may name what api may not.

$t->write_file('kubeconfig', <<'EOF2');
apiVersion: v1
kind: Config
current-context: k
contexts: [{name: k, context: {cluster: k, user: k}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1/apis/search.karmada.io/v1alpha1/proxying/karmada/proxy"}}]
users: [{name: k, user: {token: secret}}]
EOF2
chmod 0644, "$t->{dir}/kubeconfig";
$t->conf(http => direct('kubeconfig %%DIR%%/kubeconfig;'));
my ($status, $said) = $t->test_conf;
isnt($status, 0, 'refused: the search proxy in a kubeconfig');
like($said, qr/search proxy is not supported/, 'told');

# ---- What is taken with a warning.

sub warned {
    my ($http, $warning, $what) = @_;
    $t->conf(http => $http);
    ($status, $said) = $t->test_conf;
    is($status, 0, "taken: $what") or diag($said);
    like($said, qr/\[warn\].*$warning/, '... with a warning');
}
warned(direct("api $clusters/bj/proxy; timeout 5s;"),
    qr/"timeout" of cluster "bj" is shorter than the 10s.*write "timeout 15s;"/,
    'a timeout that hides what the proxy says');
warned("$zone dynamic_weight_cluster karmada { $api $nodes }"
    . bj('via karmada; member bj;', $nodes) . upstream($binding),
    qr/"ingress_nodes" of cluster "karmada" have no effect, as only its members are used/,
    'ingress nodes of a control plane');
warned("$zone $plane " . bj('via karmada; member bj;', $nodes) . upstream(),
    qr/cluster "bj" is never used/, 'a member that is not used');

done_testing;
