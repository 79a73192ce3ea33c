import com.alibaba.nacos.core.listener.startup.NacosStartUpManager;
import com.alibaba.nacos.sys.filter.NacosTypeExcludeFilter;
import java.sql.DriverManager;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.actuate.autoconfigure.security.servlet.ManagementWebSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration;
import org.springframework.boot.autoconfigure.ldap.LdapAutoConfiguration;
import org.springframework.boot.autoconfigure.security.servlet.SecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.security.servlet.UserDetailsServiceAutoConfiguration;
import org.springframework.boot.web.servlet.ServletComponentScan;
import org.springframework.context.annotation.ComponentScan;
import org.springframework.context.annotation.FilterType;
import org.springframework.scheduling.annotation.EnableScheduling;

// The registry alone: no console, no configuration for other systems.
@SpringBootApplication(exclude = {
    DataSourceAutoConfiguration.class, SecurityAutoConfiguration.class, LdapAutoConfiguration.class,
    UserDetailsServiceAutoConfiguration.class, ManagementWebSecurityAutoConfiguration.class})
@ComponentScan(basePackages = "com.alibaba.nacos", excludeFilters = {
    @ComponentScan.Filter(type = FilterType.REGEX,
        pattern = "com\\.alibaba\\.nacos\\.(console|istio|k8s|ai|prometheus|naming\\.NamingApp).*"),
    @ComponentScan.Filter(type = FilterType.CUSTOM, classes = NacosTypeExcludeFilter.class)})
@ServletComponentScan("com.alibaba.nacos")
@EnableScheduling
public class Server {
  public static void main(String[] args) throws Exception {
    // Nacos gives Derby 5 s to make its database; a busy machine needs more.
    DriverManager.getConnection("jdbc:derby:" + System.getProperty("nacos.home")
        + "/data/derby-data;create=true", "nacos", "nacos").close();
    NacosStartUpManager.start("core");
    SpringApplication.run(Server.class, args);
  }
}
