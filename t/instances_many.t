#!/usr/bin/perl

# Many pods as peers: a thousand in ten slices, and a release of a hundred of
# them under load, as a Deployment does it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Pods;
use List::Util qw(max sum);
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $many = DynamicWeight::Pods->new($bj, 'prod', 'many',
    ports => { http => $t->{backend} });
my $orders = DynamicWeight::Pods->new($bj, 'prod', 'orders',
    ports => { http => $t->{backend} });
sub address { my ($net, $n) = @_; return "127.$net." . int($n / 250) . '.'
    . ($n % 250 + 1) }
$many->set(map { address(9, $_) } 0 .. 999);
$orders->set(map { address(7, $_) } 0 .. 99);
$t->start_backends;

my $zone = 'dynamic_weight_zone main:1m;';
my $http = <<'EOC' . $t->edge_server('orders');
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream orders {
        dynamic_weight;
        dynamic_weight_keepalive 1;
        instances      bj service=prod/orders port=http slots=160;
    }
    upstream many {
        dynamic_weight;
        instances      bj service=prod/many port=http slots=1000;
    }
EOC
$t->conf(http => "$zone\n$http");
$t->allow('zone "main" is too small');
my ($status, $said) = $t->test_conf;
my ($enough) = $said =~ /write "dynamic_weight_zone main:(\d+)k" or more/;
ok($enough, 'nginx -t tells what the slots need') or diag($said);
$zone =~ s/1m/${enough}k/;
$t->conf(http => "$zone\n$http");
is(($t->test_conf)[0], 0, 'which is enough');
ok($t->start, 'nginx starts');

# ---- A thousand.

wait_ok { keys %{$t->weights('many')} == 1000 } 'a thousand pods have slots';
my %weights = map { $_ => 1 } values %{$t->weights('many')};
is(join(' ', keys %weights), 10, 'each of a weight');
my $slices = grep { /slice many/ } keys %{$bj->{content}};
is($slices, 10, 'they stood in ten slices');
$many->remove(map { address(9, $_) } 990 .. 998);
wait_ok { keys %{$t->weights('many')} == 991 } 'nine leave';

# ---- A release of a hundred, ten at a time.

sub shares_ok {
    my ($name, $off) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @pods = keys %{$t->weights('orders')};
    my $result = in_flight({ port => $t->port, in_flight => 1,
        requests => 20 * @pods });
    my @off = grep { abs(($result->{bodies}{$_} // 0) - 20) > $off } @pods;
    return ok(!@off && keys %{$result->{bodies}} == @pods, $name)
        || diag(explain($result->{bodies}));
}

wait_ok { keys %{$t->weights('orders')} == 100 } 'a hundred pods';
shares_ok('each gets a hundredth', 4);
$t->start_load(2);
for my $step (0 .. 9) {
    my @old = map { address(7, 10 * $step + $_) } 0 .. 9;
    my @new = map { address(8, 10 * $step + $_) } 0 .. 9;
    $orders->add(@new);
    wait_ok { grep { $_ eq $new[-1] } keys %{$t->weights('orders')} }
        "step $step: ten have come";
    for my $pod (@{$orders->{pods}}) {
        $pod->{state} = 'terminating' if grep { $_ eq $pod->{address} } @old;
    }
    $orders->write;
    wait_ok {
        my $now = $t->weights('orders');
        keys %$now == 100 && !grep { $now->{$_} } @old
    } "step $step: ten drain";
    shares_ok("step $step: shares are right", 20) if $step % 3 == 0;
    $orders->remove(@old);
}
my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));
shares_ok('each of the new ones gets a hundredth', 4);
unlike($t->log, qr/held back/, 'nothing was held back');
my $peers = @{$t->status->{upstreams}{orders}{peers}};
cmp_ok($peers, '<=', 120, "who left long ago is forgotten: $peers peers");

$t->done;
