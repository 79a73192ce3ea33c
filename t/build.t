#!/usr/bin/perl

# How it is built: what the module exports, and nginx's own way of building it
# from `config`, as a dynamic module.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
my $dir = $t->dir;
my $root = $DynamicWeight::root;

my @exports = sort map { (split)[-1] }
    split /\n/, `nm -D --defined-only $root/build/ngx_http_dynamic_weight_module.so`;
is("@exports", 'ngx_module_names ngx_module_order ngx_modules',
    'nothing else is exported');

unlike(`grep -l 'ngx_' -r $root/weightcalc $root/watcher --include=*.h --include=*.cc | xargs -r grep -l '#include <ngx_'`,
    qr/./, 'the inner folders include no nginx header');

system("cp -rs /usr/share/nginx/src $dir/src && rm -f $dir/src/Makefile");
my $configured = system("cd $dir/src && bash -c '. ./conf_flags && ./configure "
    . "\"\${NGX_CONF_FLAGS[\@]}\" --add-dynamic-module=$root "
    . "--builddir=$dir/objs' > $dir/configure.log 2>&1");
is($configured, 0, 'configure takes --add-dynamic-module')
    or diag(`tail $dir/configure.log`);

my $conf = `cat $dir/objs/ngx_http_dynamic_weight_module_modules.c`;
like($conf, qr/"ngx_http_dynamic_weight_module",\s*"ngx_http_upstream_keepalive_module"/s,
    'the module comes before keepalive')
    or diag($conf);

done_testing();
