#!/usr/bin/perl

# What an API server has in protobuf is read in protobuf: every list and every
# watch of its own kinds, while custom resources come as JSON beside them. An
# nginx in between tells what passes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Intermediary;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('BJ');
$kube->grant({ apiGroups => ['*'], resources => ['*'] });
my $gate = DynamicWeight::Intermediary->new($t, 'GATE', $kube, 'nginx');

my @workloads = qw(deployment statefulset rollout cloneset);
my %all = map { $_ => 1 } @workloads, 'pod_objects';
$kube->app('prod', 'orders', 6, %all);
$kube->nodes(map "127.0.0.$_", 11, 12);
$kube->ingress('prod', 'orders');

my %source = (service => 'service=prod/orders ingress=prod/orders',
    pods => 'pods=prod/app=orders',
    map { $_ => "$_=prod/orders" } @workloads);
my $upstreams = join '', map { <<"EOF" } sort keys %source;
    upstream $_ {
        dynamic_weight;
        ingress_nodes  bj $source{$_} port=80;
    }
EOF
$t->conf(http => <<"EOF" . $upstreams . $t->edge_server('service'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%GATE%%;
        token_file     %%BJ_TOKEN%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
EOF
ok($t->start, 'nginx starts');

# Of `count` pods on the nodes.
sub weights_are {
    my ($count, $what, @nodes) = @_;
    my %weights = map { ("127.0.0.$_" => int($count * 10 / @nodes)) } @nodes;
    ok($t->wait_weights($_, {%weights}), "$_: $what") for sort keys %source;
}

weights_are(6, 'as listed', 11, 12);
$kube->app('prod', 'orders', 9, %all);
weights_are(9, 'a rise', 11, 12);
$kube->app('prod', 'orders', 4, %all);
weights_are(4, 'a fall', 11, 12);
$kube->nodes(map "127.0.0.$_", 11, 12, 13);
weights_are(4, 'a node more', 11, 12, 13);
$kube->nodes(map "127.0.0.$_", 11, 13);
weights_are(4, 'a node less', 11, 13);

# One upstream goes by an Ingress, too.
$kube->delete(Ingress => 'prod', 'orders');
ok($t->wait_weights('service', { map { ("127.0.0.$_" => 1) } 11, 13 }),
    'without its Ingress it has no pods');
$kube->ingress('prod', 'orders');
weights_are(4, 'the Ingress is back', 11, 13);

my $watch = $t->status->{clusters}{bj}{watch};
is($watch->{failures}, 0, 'no failure');
is($watch->{rejected}, 0, 'nothing was rejected');
$t->stop;

# Watches are logged as they end.
my @kinds = qw(endpointslices pods nodes deployments statefulsets rollouts
    clonesets ingresses);
my %types;
wait_ok {
    %types = ();
    for ($gate->passed) {
        my ($path, $query) = $_->{uri} =~ /^([^?]*)\??(.*)/;
        my ($kind) = $path =~ m{([^/]+)$};
        my $verb = $query =~ /\bwatch=/ ? 'watch' : 'list';
        $types{"$verb $kind"}{$_->{type}} = 1 if $_->{status} == 200;
    }
    keys %types == 2 * @kinds
} 'lists and watches of all kinds passed';
for my $kind (@kinds) {
    my $custom = $kind =~ /^(?:rollouts|clonesets)$/;
    my $type = $custom ? 'application/json'
        : 'application/vnd.kubernetes.protobuf';
    is(join(', ', keys %{$types{"list $kind"}}), $type, "list of $kind");
    is(join(', ', keys %{$types{"watch $kind"}}),
        $custom ? $type : "$type;stream=watch", "watch of $kind");
}

$t->done;
