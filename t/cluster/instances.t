#!/usr/bin/perl

# Pods of real controllers as peers: a thousand of them in slices as the
# EndpointSlice controller fills them, and a release of a hundred under load.
# KWOK gives the pods addresses that a network of the test's own routes to its
# backends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

# KWOK's prefix of pods.
use DynamicWeight::OwnNetwork '10.128.0.0/16';
use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use Test::More;

my $t = DynamicWeight->new;
# It looks for an address to call itself by, and there is none here.
my $kube = $t->kube_cluster('A', etcd => '3.6',
    apiserver => ['--advertise-address=10.128.255.1']);
$kube->start_controllers;
$kube->nodes(map { { address => "127.0.1.$_", ready => 0 } } 1 .. 20);
$kube->deployment('prod', 'orders', 100, port => $t->{backend});
$t->start_backends;
$t->conf(http => <<'EOF' . $t->edge_server('orders'));
    dynamic_weight_zone main:8m;
    dynamic_weight_cluster a {
        api            %%A%%;
        token_file     %%A_TOKEN%%;
        ca_file        %%A_CA%%;
    }
    upstream orders {
        dynamic_weight;
        dynamic_weight_keepalive 1;
        server         127.0.0.1:%%BACKEND%%;
        instances      a service=prod/orders port=http slots=1200;
    }
EOF
ok($t->start, 'nginx starts');

# What the API says is ready, by an eye of its own.
sub ready {
    my %ready;
    for my $slice ($kube->list(EndpointSlice => 'prod')) {
        for my $endpoint (@{$slice->{endpoints} // []}) {
            $ready{$endpoint->{addresses}[0]} = 10
                if $endpoint->{conditions}{ready};
        }
    }
    return %ready;
}

sub follows {
    my ($pods, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for { $kube->settled('prod', 'orders') } "$pods pods", 600;
    my %ready = ready();
    is(scalar keys %ready, $pods, "$name: the API has $pods ready pods");
    return ok($t->wait_weights("orders", { "127.0.0.1" => 10, %ready }, 120),
        "$name: each is a peer, and no other");
}

# Ten requests for each, one at a time.
sub shares_ok {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @peers = keys %{$t->weights('orders')};
    my $result = in_flight({ port => $t->port, in_flight => 1,
        requests => 10 * @peers });
    my @off = grep { abs(($result->{bodies}{$_} // 0) - 10) > 4 } @peers;
    return ok(!@off && keys %{$result->{bodies}} == @peers, $name)
        || diag(explain($result->{bodies}));
}

follows(100, 'a Deployment');
shares_ok('each gets its part');

# A release: those that are to go end what they have and get nothing new.

# The names of those that the edge has; addresses are given out again.
sub names {
    return map { $_->{node} // () }
        grep { $_->{weight} } @{$t->status->{upstreams}{orders}{peers}};
}

my %before = map { $_ => 1 } names();
$t->start_load(2);
$kube->release('prod', 'orders', 1);
follows(100, 'a release');
wait_ok { my @names = names(); @names == 100 && !grep { $before{$_} } @names }
    'every pod is another one';
my $load = $t->stop_load;
is($load->{failed}, 0, "none of $load->{requests} requests failed");
shares_ok('each of the new ones gets its part');

# A thousand, and back.

$kube->scale('prod', 'orders', 1000);
follows(1000, 'a scale-up');
cmp_ok(scalar $kube->list(EndpointSlice => 'prod'), '>=', 10, 'in ten slices');
$kube->scale('prod', 'orders', 10);
follows(10, 'a scale-down');
shares_ok('the ten that are left share all');

$t->done;
