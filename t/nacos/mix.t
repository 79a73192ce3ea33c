#!/usr/bin/perl

# One upstream of every kind of source: plain servers, VMs of a registry (a real
# one of Nacos 2.3), pods as peers, and the ingress nodes of another cluster with
# pods behind them. Whatever it is and whoever says so, each of 21 has a 21st.

use strict;
use warnings;

use constant REQUESTS => 21_000;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Nacos;
use DynamicWeight::Pods;
use Test::More;

my $t = DynamicWeight->new;
my $vm = DynamicWeight::Nacos->new($t, 'VM', version => '2.3');
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
my $pods = DynamicWeight::Pods->new($bj, 'prod', 'orders',
    ports => { http => $t->{backend} });
$t->start_backends;
$t->conf(http => <<'EOC' . $t->edge_server('orders'));
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster vm { type nacos; api %%VM%%; }
    dynamic_weight_cluster bj { api %%BJ%%; }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream orders {
        dynamic_weight;
        server         127.3.0.1:%%BACKEND%%;
        server         127.3.0.2:%%BACKEND%%;
        server         127.3.0.3:%%BACKEND%%;
        instances      vm service=orders;
        instances      bj service=prod/orders port=http;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%%;
    }
EOC

# Address => how many of the 21 get their requests there.
my %stands_for;
sub stand { my ($n, @addresses) = @_; @stands_for{@addresses} = ($n) x @addresses }
stand(1, map "127.3.0.$_", 1 .. 3);
my @vms = map "127.5.0.$_", 1 .. 5;
stand(1, @vms);
my @pods = map "127.7.0.$_", 1 .. 4;
stand(1, @pods);
$pods->set(@pods);
my @nodes = map "127.0.0.$_", 11 .. 13;
stand(3, @nodes);
$sh->nodes(@nodes);
$sh->app('prod', 'orders', 9);

$vm->await;
$vm->register('orders', $_, $t->{backend}) for @vms;
ok($t->start, 'nginx starts');
ok($t->wait_weights('orders',
    { map { $_ => 10 * $stands_for{$_} } keys %stands_for }, 60),
    'each has its weight');
my %kinds = map { ($_->{kind} // 'server') => 1 }
    @{$t->status->{upstreams}{orders}{clusters}};
is(join(' ', sort keys %kinds), 'ingress_nodes instances',
    'instances and ingress nodes are lines of the status');

# Each gets its part, to a hundredth of it.
for my $in_flight (32, 1) {
    my $result = in_flight({ port => $t->port, in_flight => $in_flight,
        requests => REQUESTS });
    is_deeply($result->{statuses}, { 200 => REQUESTS },
        "$in_flight at a time: no request fails");
    my $each = REQUESTS / 21;
    my @off = grep {
        my $expected = $each * $stands_for{$_};
        abs(($result->{bodies}{$_} // 0) - $expected) > 0.01 * $expected
    } sort keys %stands_for;
    is("@off", '', '... and each has a 21st')
        or diag(explain($result->{bodies}));
}

$t->done;
