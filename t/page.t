#!/usr/bin/perl

# The page in a real browser: it follows the weights, asks nobody else, is
# safe whatever a cluster says, and reads without scripts.
#
# With SCREENSHOTS=DIR in the environment it leaves pictures there to look at.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Browser;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

binmode $_, ':utf8' for map { Test::More->builder->$_ } qw(output failure_output);

my $t = DynamicWeight->new;
my %cluster = map { $_ => $t->fake_cluster(uc) } 'bj', 'sh';
my $evil = qq{</script><img src=http://127.0.0.1:1/x onerror=alert(1)>"\n};

$cluster{bj}->app('prod', 'orders', 12);
$cluster{bj}->nodes({ name => $evil, address => '127.0.0.11',
    ready => JSON::PP::true }, map { { name => "bj-$_",
    address => "127.0.0.$_", ready => JSON::PP::true } } 12, 13);
$cluster{sh}->app('prod', 'orders', 7);
$cluster{sh}->nodes(map "127.0.0.$_", 21, 22);

my $many = 1000;
my @more = map { sprintf 'app-%04d', $_ } 2 .. $many;
my $upstreams = join '', map { <<"EOF" } @more;
    upstream $_ {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%% slots=3;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% slots=2;
    }
EOF

sub conf {
    my ($more) = @_;
    $t->conf(http => join('', map { <<"EOF" } 'bj', 'sh') . <<"EOF2");
    dynamic_weight_cluster $_ {
        api            %%@{[uc]}%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
EOF
    dynamic_weight_zone main:32m;
    dynamic_weight_tuning %%DIR%%/tuning.json;
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%% weight=2;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% empty=drain;
    }
$more
@{[$t->edge_server('orders')]}
EOF2
}

$t->write_file('tuning.json', '{ "rules": [] }');
$t->start_backends;
conf('');
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';
my $url = 'http://127.0.0.1:' . $t->port . '/dw/';

# What is sent.

my $answer = http_get($t->port, '/dw/');
like($answer->{headers}, qr{^Content-Type: text/html; charset=utf-8}m, 'HTML');
my ($csp) = $answer->{headers} =~ /^Content-Security-Policy: (.*?)\r?$/m;
like($csp, qr/^default-src 'none'; script-src 'nonce-\w{32}'; style-src/,
    'a strict policy');
unlike($csp, qr/unsafe|\*/, 'without exceptions');
my ($nonce) = $csp =~ /nonce-(\w+)/;
like($answer->{body}, qr/<script nonce="$nonce">/, 'its nonce is the page\'s');
unlike(http_get($t->port, '/dw/')->{headers}, qr/$nonce/, 'once only');
unlike($answer->{body}, qr/<img/, 'the evil name is escaped');
unlike($answer->{body}, qr/\son\w+=|style="|javascript:/,
    'no handler or style in an attribute');

# In the browser.

my $browser = DynamicWeight::Browser->new($t);
my $shots = $ENV{SCREENSHOTS};

sub rows {
    my ($table) = @_;
    return $browser->value(qq{[...document.querySelectorAll('#$table tbody tr')]
        .filter(row => row.offsetParent !== null)
        .map(row => [...row.cells].map(cell => cell.innerText.trim()))});
}

# Without scripts first: what a person sees then.

sub source {
    my ($address) = @_;
    $browser->open($address);
    return $browser->call('DOM.getOuterHTML', nodeId =>
        $browser->call('DOM.getDocument')->{root}{nodeId})->{outerHTML};
}

$browser->scripts(0);

# A decision is published a moment after the weight it is about.

my $text;
wait_ok { ($text = source($url)) =~ /\? → 40/ }
    'scripts off: the decisions stand there';
like($text, qr{<td class="n w">40</td>}, 'scripts off: the weights, too');
like($text, qr{12 pods × 10 ÷ 3 nodes}, 'scripts off: the arithmetic, too');
$text = source("$url?upstream=orders");
like($text, qr{&lt;/script&gt;&lt;img}, 'scripts off: an upstream\'s nodes');
$browser->scripts(1);

$browser->look(1280, 900);
$browser->open($url);
$browser->value('window.kept = true');
wait_ok { $browser->value("document.getElementById('verdict').innerText")
    eq 'OK' } 'the verdict';
is_deeply([map { [@$_[0, 1]] } @{rows('clusters')}],
    [['bj', 'up'], ['sh', 'up']], 'clusters');

sub weights { return join ' ', map { $_->[-5] } @{rows('upstreams')} }
wait_ok { weights() eq '40 35 15' } 'weights';

# A change arrives by itself: no reload of the page or of nginx.

$t->start_load(1);
my @workers = sort $t->workers;
my $began = time;
$cluster{bj}->app('prod', 'orders', 30);
wait_ok { weights() eq '100 35 15' } 'a scale-up is seen';
diag(sprintf 'after %.2f s', time - $began);
wait_ok { join(' ', map { @$_ } @{rows('decisions')}) =~ /40 → 100/ }
    'and the decision';
ok($browser->value('window.kept'), 'the page was not loaded again');
is("@{[sort $t->workers]}", "@workers", 'nginx was not reloaded');

wait_ok { $browser->value("[...document.querySelectorAll('td.share b')]"
    . ".every(node => /%/.test(node.textContent))") } 'observed shares';
wait_ok { $browser->value("document.querySelector('#upstreams polyline.o')"
    . ".getAttribute('points').split(' ').length > 3") } 'a chart';

# What an operator overrides.

sub verdict {
    return $browser->value("document.getElementById('verdict').innerText");
}
is(@{rows('rules')}, 0, 'no rule');
$t->write_file('tuning.json', '{ "rules": [
    { "cluster": "bj", "freeze": true, "reason": "upgrade, <Li>" } ] }');
wait_ok { verdict() eq '1 runtime override in force' } 'an override is told';
is_deeply(rows('rules'), [['cluster bj', 'freeze', '3', 'removed',
    'upgrade, <Li>', '2']], 'and listed');
$t->allow(qr/tuning file/);
$t->write_file('tuning.json', '{ "rules": [ { "drian": true } ] }');
wait_ok { verdict() eq 'tuning file not loaded · 1 runtime override in force' }
    'a file with a mistake, too';
like($browser->value("document.getElementById('tuning').innerText"), qr/drian/,
    'with its error');
$browser->screenshot("$shots/overrides-1280-light.png") if $shots;
$t->write_file('tuning.json', '{ "rules": [] }');
wait_ok { verdict() eq 'OK' } 'all is lifted';
is(@{rows('rules')}, 0, 'no rule');

# Trouble.

$t->break_backend('127.0.0.11', 'close');
wait_ok { $browser->value("document.getElementById('verdict').innerText")
    =~ /1 server failing/ } 'a failing server is told';
wait_ok { (rows('down')->[0] // [''])->[4] eq 'unavail' } 'and listed';
is(rows('down')->[0][3], $evil =~ s/\n//r, 'under its evil name');
is($browser->value("document.querySelectorAll('img').length"), 0,
    'which stays a text');
$cluster{sh}->stop;
wait_ok { $browser->value("document.getElementById('verdict').innerText")
    =~ /1 cluster stale: sh/ } 'a stale cluster is told';
wait_ok { rows('clusters')->[1][1] =~ /^stale\s+list .*/s } 'with its error';
for my $width (1280, 400) {
    for my $scheme ('light', 'dark') {
        $browser->look($width, $width == 400 ? 1400 : 900, $scheme);
        $browser->screenshot("$shots/page-$width-$scheme.png") if $shots;
        cmp_ok($browser->value('document.documentElement.scrollWidth'), '<=',
            $width, "$width wide, $scheme: nothing sticks out");
    }
}
$browser->look(1280, 900);
$cluster{sh}->start;
wait_ok { $browser->value("document.getElementById('verdict').innerText")
    !~ /stale/ } 'it is back'
    or diag(http_get($t->port, '/dw/status')->{body});

# One upstream.

$browser->open("$url?upstream=orders");
wait_ok { @{rows('peers')} == 7 } 'one upstream: every server';
$browser->screenshot("$shots/upstream-1280-light.png") if $shots;
$browser->open("$url?upstream=%3Cb%3E");
like($browser->value('document.body.innerText'), qr/No upstream of this name/,
    'an unknown upstream');
$t->stop_load;

# nginx goes away, and comes back.

$browser->open($url);
my @complaints = grep { !/404/ } $browser->complaints;
is("@complaints", '', 'no complaint on the console');
ok($t->stop('QUIT'), 'nginx ends');
wait_ok { $browser->value("document.getElementById('time').className")
    eq 'bad' } 'the page says so';
$t->mend_backend('127.0.0.11');

# 1,000 upstreams.

conf($upstreams);
ok($t->start, "nginx starts with $many upstreams");
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready'
    or diag(http_get($t->port, '/dw/ready')->{body});
wait_ok { @{rows('upstreams')} == 3 * $many } 'the page shows them', 60;
wait_ok { $browser->value("document.getElementById('shown').innerText")
    eq $many } 'and how many';
$browser->value(q{(() => { const box = document.getElementById('filter');
    box.value = 'APP-012'; box.dispatchEvent(new Event('input')); })()});
is(scalar @{rows('upstreams')}, 30, 'the filter');
is($browser->value("document.getElementById('shown').innerText"),
    '10 of 1000', 'and how many pass it');
for my $width (1280, 400) {
    $browser->look($width, 900, 'light');
    $browser->screenshot("$shots/thousand-$width-filtered.png") if $shots;
}
$browser->value(q{(() => { const box = document.getElementById('filter');
    box.value = ''; box.dispatchEvent(new Event('input')); })()});
for my $width (1280, 400) {
    $browser->look($width, 900, 'dark');
    $browser->screenshot("$shots/thousand-$width.png") if $shots;
}
$browser->scripts(0);
$browser->open("${url}?filter=app-012");
$text = $browser->call('DOM.getOuterHTML', nodeId =>
    $browser->call('DOM.getDocument')->{root}{nodeId})->{outerHTML};
is(scalar(() = $text =~ /<tbody(?: class="problem")?><tr><th scope="rowgroup"/g), 10,
    'scripts off: the filter, too');

is(join(' ', grep { !m{^\Q$url\E(\?|status\?|$)} && !/^data:,$/ }
    $browser->requests), '', 'no request to anywhere else');
$browser->stop;
$t->done;
