#!/usr/bin/perl

# dynamic_weight_probe: an upstream's servers and instances, and the application
# behind ingress nodes, asked once for all upstreams that ask the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Pods;
use Test::More;

my $t = DynamicWeight->new(workers => 2);
my @kvm = map "127.10.0.$_", 1 .. 3;
my @node = map "127.11.0.$_", 1 .. 3;
my @pod = map "127.12.0.$_", 1 .. 3;
my $slow = $t->slow_servers(addresses => [@kvm, @node, @pod]);
my $fake = $t->fake_cluster('BJ');
$fake->app('prod', 'orders', 6);
$fake->nodes(@node);
DynamicWeight::Pods->new($fake, 'prod', 'pay', ports => { http => $t->{backend} })
    ->set(@pod);

my $times = 'interval=400ms fails=2 passes=2';
my $servers = join ' ', map "server $_:%%BACKEND%% fail_timeout=1s;", @kvm;
my %probe = (
    app   => "http uri=/healthz $times",
    other => "http uri=/other $times",
);
my %upstream = (
    (map { sprintf('kvm%02d', $_) => "$servers dynamic_weight_probe $probe{app};" }
        1 .. 20),
    other => "$servers dynamic_weight_probe $probe{other};",
    none  => $servers,
    pods  => 'instances bj service=prod/pay port=http fail_timeout=1s; '
        . "dynamic_weight_probe $probe{app};",
    via   => 'ingress_nodes bj service=prod/orders port=%%BACKEND%%; '
        . "dynamic_weight_probe via=ingress $probe{app} host=orders.example;",
    plain => 'ingress_nodes bj service=prod/orders port=%%BACKEND%%;',
);
my $upstreams = join "\n", map { "upstream $_ { dynamic_weight; $upstream{$_} "
    . 'dynamic_weight_keepalive 0; }' } sort keys %upstream;
$t->conf(http => <<"EOF");
    dynamic_weight_zone main:8m;
    dynamic_weight_cluster bj {
        api %%BJ%%; mode poll; interval 100ms; guard off;
        ingress_nodes nodes=role=ingress;
        probe tcp $times;
    }
    $upstreams
    server {
        listen 127.0.0.1:%%PORT%%;
        location ^~ /dw/ { dynamic_weight_status; }
        location ~ ^/(\\w+) { proxy_pass http://\$1; proxy_connect_timeout 3s; }
    }
EOF

sub upstream { $t->status->{upstreams}{$_[0]} }
sub peer {
    my ($name, $address) = @_;
    my ($peer) = grep { $_->{server} =~ /^\Q$address\E:/ } @{upstream($name)->{peers}};
    return $peer // {};
}
sub states {
    my ($name) = @_;
    my %count;
    $count{$_->{state}}++ for @{upstream($name)->{peers}};
    return join ' ', map { "$count{$_} $_" } sort keys %count;
}
sub counts {
    my ($name) = @_;
    return join ' ', map { upstream($name)->{probe}{$_} } qw(passing failing unknown);
}

ok($t->start, 'nginx starts');
wait_ok { counts('kvm01') eq '3 0 0' && counts('pods') eq '3 0 0'
    && counts('via') eq '3 0 0' && counts('other') eq '3 0 0' } 'all pass';
is(upstream('kvm01')->{probe}{probe}, 'http /healthz', 'the status says how');
ok(!exists upstream('none')->{probe}, 'nothing, where none is asked for');

# ---- Once for all that ask the same.

$slow->requests;
my $began = $t->status->{time};
wait_for { $t->status->{time} - $began > 2000 } 'two seconds';
my $asked = $slow->requests->{$kvm[0]};
my $fit = ($t->status->{time} - $began) / 400 + 2;
cmp_ok($asked, '<=', 2 * $fit, "20 upstreams and another one: $asked probes");
cmp_ok($asked, '>=', 4, '... but some');

# ---- One that hangs is out of those that ask, before a client finds out.

$slow->set($kvm[1], uri => '/healthz', mode => 'silent');
wait_ok { states('kvm20') eq '1 unhealthy 2 up' } 'it is out';
is(peer('kvm07', $kvm[1])->{state}, 'unhealthy', 'of all that ask so');
is(peer('kvm07', $kvm[1])->{reason}, 'no answer within the timeout', '... and why');
is(states('other'), '3 up', 'who asks for something else goes on');
is(states('none'), '3 up', 'and who asks nothing');
like($t->log, qr/the probe of \Q$kvm[1]\E:\d+ \(upstream "kvm01", http \/healthz\) fails/,
    'the log says whose probe');
my ($seen) = in_flight({ port => $t->port, in_flight => 1, requests => 30,
    uri => sub { '/kvm03' } });
is_deeply($seen->{statuses}, { 200 => 30 }, 'requests are answered');
ok(!$seen->{bodies}{$kvm[1]}, '... by the others');
my $metrics = http_get($t->port, '/dw/metrics')->{body};
like($metrics, qr/^\w+_upstream_probe_failing\{upstream="kvm03"\} 1$/m,
    'the metrics tell');
unlike($metrics, qr/_upstream_probe_failing\{upstream="none"\}/, '... of who asks');
ok($t->reload, 'reload');
is(states('kvm20'), '1 unhealthy 2 up', 'it stays out');
$slow->set($kvm[1], mode => '');
wait_ok { states('kvm20') eq '3 up' } 'it is back';

# ---- Pods, and the application behind a node.

$slow->set($pod[2], uri => '/healthz', mode => 503);
wait_ok { states('pods') eq '1 unhealthy 2 up' } 'a pod is out';
is(peer('pods', $pod[2])->{reason}, 'status 503', '... and why');
$slow->set($node[0], uri => '/healthz', mode => 404);
wait_ok { states('via') eq '1 unhealthy 2 up' } 'the application behind a node is out';
is(states('plain'), '3 up', 'the node is not');
is(peer('plain', $node[0])->{probe}{result}, 'passing', '... which its probe says');
is(upstream('via')->{clusters}[0]{weight}, 20, 'the weight is what it was');
$slow->set($node[0], mode => '');
wait_ok { states('via') eq '3 up' } 'it is back';
$slow->set($node[0], hole => 1);
wait_ok { states('via') eq '1 unhealthy 2 up' && states('plain') eq '1 unhealthy 2 up' }
    'a node that swallows everything is out of both';
$t->allow(qr/exited on signal 9/);
my $worker0 = $t->worker0;
kill KILL => $worker0;
$t->next_worker0($worker0);
is(states('via'), '1 unhealthy 2 up', 'also without worker 0');
$slow->set($node[0], hole => 0);
wait_ok { states('via') eq '3 up' && states('plain') eq '3 up' } 'both are back';

$t->done;
